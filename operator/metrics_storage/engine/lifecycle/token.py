"""The token of a storage directory: an extended attribute that a copy of it carries, unlike its inode number.

The directory's owner, that is the runner, may change the attribute. So a token never speaks against an inode number
that agrees; it only says of a directory at the place where one was provisioned that it is a copy of that one.
"""

import errno
import os
import secrets
from enum import StrEnum
from typing import Final

_ATTRIBUTE: Final = "user.metrics-storage"
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EDQUOT)
"""What file systems say that have no such attributes, or no room for one."""


def new_token() -> str:
    """32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


def give_token(fd: int, uid: str, token: str) -> None:
    """Mark an open directory, where its file system can; not durable before it is flushed.

    Raises:
        OSError: as fsetxattr(2), but not where there are no such attributes.
    """
    try:
        os.setxattr(fd, _ATTRIBUTE, _value(uid, token))
    except OSError as exc:
        if exc.errno not in _UNSUPPORTED:
            raise


class Token(StrEnum):
    """How the attribute of a directory compares with the token of a record."""

    SAME = "same"
    MISSING = "missing"
    OTHER = "other"


def compare_token(fd: int, uid: str, token: str | None) -> Token:
    """What an open directory carries; MISSING too where the record is older than tokens.

    Raises:
        OSError: as fgetxattr(2), but not where there are no such attributes.
    """
    if token is None:
        return Token.MISSING
    try:
        return Token.SAME if os.getxattr(fd, _ATTRIBUTE) == _value(uid, token) else Token.OTHER
    except OSError as exc:
        if exc.errno not in (errno.ENODATA, *_UNSUPPORTED):
            raise
        return Token.MISSING


def _value(uid: str, token: str) -> bytes:
    return f"{uid} {token}".encode()
