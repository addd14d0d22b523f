"""Extended attributes of one entry of a source, and why some of them are missing."""

import errno
import os
from typing import Final

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.fs.long_attributes import list_long

_XATTRS_MAX: Final = 1024 * 1024
"""Extended attributes of one entry that are kept in memory, in bytes; XFS would allow hundreds of MiB."""

_XATTRS_KNOWN: Final = (
    b"security.capability",
    b"security.selinux",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
)
"""Those that are asked for by name where the names cannot be told."""


def read_xattrs(entry: Entry, where: int | str, fd: int = -1, beside_fd: int = -1) -> None:
    """Add the extended attributes, or the reason why some or all are missing.

    Very many names can be told only where `fd` is open for reading, `beside_fd` being a directory of the same volume.
    """
    try:
        names = sorted(_xattr_names(where, fd, beside_fd))
    except OSError as exc:
        if exc.errno != errno.ENOTSUP:
            _lack_xattrs(entry, exc.errno)
        if exc.errno != errno.E2BIG:
            return
        names = list(_XATTRS_KNOWN)
    size = 0
    for name in names:
        try:
            value = os.getxattr(where, name)
        except OSError as exc:
            if not _is_gone(where, name, exc):
                _lack_xattrs(entry, exc.errno)
            continue
        size += len(name) + len(value)
        if size > _XATTRS_MAX:
            _lack_xattrs(entry, errno.E2BIG)
            return
        entry.xattrs[name] = value


def _xattr_names(where: int | str, fd: int, beside_fd: int) -> list[bytes]:
    try:
        return list(map(os.fsencode, os.listxattr(where)))
    except OSError as exc:
        if exc.errno != errno.E2BIG or fd == -1:
            raise
        try:
            return list_long(fd, beside_fd, _XATTRS_MAX)
        except OSError:
            raise exc from None


def _is_gone(where: int | str, name: bytes, refusal: OSError) -> bool:
    """Whether an attribute that was listed and could not be read was removed meanwhile, and is not listed any more."""
    if refusal.errno != errno.ENODATA:
        return False
    try:
        return os.fsdecode(name) not in os.listxattr(where)
    except OSError:
        return False


def _lack_xattrs(entry: Entry, code: int | None) -> None:
    if entry.status == "ok":
        entry.status = "unreadable"
    entry.xattrs_error = entry.xattrs_error or errno.errorcode.get(code or 0, str(code))
