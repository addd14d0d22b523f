"""Names of extended attributes where there are more than listxattr(2) can tell, which ends at 64 KiB of them.

XFS and btrfs hold any number, and every user can make that many. Both tell them page by page to who has
CAP_SYS_ADMIN: see ioctl_xfs_attrlist_by_handle(2) (in xfs_fs.h) and BTRFS_IOC_TREE_SEARCH_V2 (in linux/btrfs.h).
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import Final

_PAGE: Final = 1 << 16

_XFS_FD_TO_HANDLE: Final = 0xC038586A
_XFS_ATTRLIST_BY_HANDLE: Final = 0x4058587A
_XFS_HANDLE: Final = struct.Struct("=I4xQI4xQI4xQQ")
"""struct xfs_fsop_handlereq: descriptor, path, flags, handle and its length given, handle and where its length goes."""
_XFS_LIST: Final = struct.Struct("=16sIIQ")
"""What follows it in struct xfs_fsop_attrlist_handlereq: cursor, flags, size and address of the buffer."""
_XFS_NAMESPACES: Final = ((0, b"user."), (1 << 1, b"trusted."), (1 << 3, b"security."))
_XFS_ACLS: Final = {
    b"trusted.SGI_ACL_FILE": b"system.posix_acl_access",
    b"trusted.SGI_ACL_DEFAULT": b"system.posix_acl_default",
}

_BTRFS_TREE_SEARCH: Final = 0xC0709411
_BTRFS_KEY: Final = struct.Struct("=7Q4I4QQ")
"""struct btrfs_ioctl_search_args_v2: tree, objects, offsets, transactions, types, number of items, size of buffer."""
_BTRFS_HEADER: Final = struct.Struct("=QQQII")
_BTRFS_ENTRY: Final = struct.Struct("=17sQHHB")
_BTRFS_XATTR: Final = 24
_BTRFS_ITEMS: Final = 1 << 12
_MAX: Final = 2**64 - 1


def list_long(fd: int, beside_fd: int, limit: int) -> list[bytes]:
    """The names of the extended attributes of an open file or directory, until together they exceed `limit` bytes.

    `beside_fd` is a directory of the same volume.

    Raises:
        OSError: E2BIG where the file system has no way to tell, EPERM where this process may not ask.
    """
    for names in (_xfs_names(fd, beside_fd), _btrfs_names(fd)):
        try:
            return _limited(names, limit)
        except OSError as exc:
            if exc.errno not in (errno.ENOTTY, errno.EINVAL):
                raise
    raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))


def _limited(names: Iterator[bytes], limit: int) -> list[bytes]:
    taken, size = [], 0
    for name in names:
        taken.append(name)
        size += len(name)
        if size > limit:
            break
    return taken


def _xfs_names(fd: int, beside_fd: int) -> Iterator[bytes]:
    handle, length = ctypes.create_string_buffer(64), ctypes.c_uint32()
    where = ctypes.addressof(handle)
    request = _XFS_HANDLE.pack(fd, 0, 0, 0, 0, where, ctypes.addressof(length))
    fcntl.ioctl(fd, _XFS_FD_TO_HANDLE, request)
    page = ctypes.create_string_buffer(_PAGE)
    for flag, prefix in _XFS_NAMESPACES:
        cursor, more = bytes(16), 1
        while more:
            ask = bytearray(_XFS_HANDLE.pack(0, 0, 0, where, length.value, 0, 0))
            ask += _XFS_LIST.pack(cursor, flag, _PAGE, ctypes.addressof(page))
            fcntl.ioctl(beside_fd, _XFS_ATTRLIST_BY_HANDLE, ask)
            cursor = bytes(ask[_XFS_HANDLE.size : _XFS_HANDLE.size + 16])
            count, more = struct.unpack_from("=ii", page)
            for offset in struct.unpack_from(f"={count}i", page, 8):
                # Its value's length, four bytes, comes first.
                name = prefix + ctypes.string_at(ctypes.addressof(page) + offset + 4)
                yield name
                if name in _XFS_ACLS:
                    yield _XFS_ACLS[name]


def _btrfs_names(fd: int) -> Iterator[bytes]:
    inode, offset = os.fstat(fd).st_ino, 0
    while True:
        key = (0, inode, inode, offset, _MAX, 0, _MAX, _BTRFS_XATTR, _BTRFS_XATTR, _BTRFS_ITEMS, 0, 0, 0, 0, 0, _PAGE)
        found = bytearray(_BTRFS_KEY.pack(*key)) + bytes(_PAGE)
        fcntl.ioctl(fd, _BTRFS_TREE_SEARCH, found)
        items = _BTRFS_KEY.unpack_from(found)[9]
        if not items:
            return
        position = _BTRFS_KEY.size
        for _ in range(items):
            _, _, offset, _, length = _BTRFS_HEADER.unpack_from(found, position)
            position += _BTRFS_HEADER.size
            end = position + length
            # Names of the same hash share an item.
            while position < end:
                _, _, data_length, name_length, _ = _BTRFS_ENTRY.unpack_from(found, position)
                position += _BTRFS_ENTRY.size
                yield bytes(found[position : position + name_length])
                position += name_length + data_length
        if offset == _MAX:
            return
        offset += 1
