"""Linux system calls that Python lacks: opening without leaving a directory, renaming without replacing, syncfs.

Responsible for exact `OSError`s with errno; knows nothing of what is opened or renamed, and never falls back
to a weaker call: where the kernel has none of these, `require_openat2` says so at start.
"""

import ctypes
import errno
import os
from typing import Final

from metrics_storage.errors import VolumeError

_SYS_OPENAT2: Final = 437
"""The number is the same on every architecture, because the call is younger than their unification."""

_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
_renameat2 = _libc.renameat2
_renameat2.restype = ctypes.c_int
_renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


_syncfs = _libc.syncfs
_syncfs.restype = ctypes.c_int
_syncfs.argtypes = (ctypes.c_int,)


def open_beneath(dir_fd: int, name: bytes, flags: int) -> int:
    """Open an existing file below a directory and return its descriptor, which is closed on exec.

    No component may be a link, lead out of the directory or lie on another mount. With `O_PATH | O_NOFOLLOW`
    a link itself can be opened, as with openat.

    Raises:
        OSError: as openat2(2) does, among others ELOOP (a link), EXDEV (another mount, or out of the directory).
    """
    how = _OpenHow(
        flags=flags | os.O_CLOEXEC,
        resolve=_RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV,
    )
    while True:
        fd: int = _syscall(_SYS_OPENAT2, dir_fd, _c_string(name), ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), os.fsdecode(name))


def rename_noreplace(src_dir_fd: int, src: bytes, dst_dir_fd: int, dst: bytes) -> None:
    """Rename atomically, and never over anything.

    Raises:
        FileExistsError: the target exists.
        OSError: as renameat2(2) does, among others EINVAL where the file system cannot rename without replacing.
    """
    _rename(src_dir_fd, src, dst_dir_fd, dst, _RENAME_NOREPLACE)


def rename_exchange(src_dir_fd: int, src: bytes, dst_dir_fd: int, dst: bytes) -> None:
    """Have two existing entries change places, atomically.

    Raises:
        OSError: as renameat2(2) does, among others EINVAL where the file system cannot do that.
    """
    _rename(src_dir_fd, src, dst_dir_fd, dst, _RENAME_EXCHANGE)


def _rename(src_dir_fd: int, src: bytes, dst_dir_fd: int, dst: bytes, flags: int) -> None:
    if _renameat2(src_dir_fd, _c_string(src), dst_dir_fd, _c_string(dst), flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(src), None, os.fsdecode(dst))


def sync_filesystem(fd: int) -> None:
    """Flush everything that anybody wrote to the file system of an open file.

    Raises:
        OSError: as syncfs(2) does.
    """
    if _syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def require_openat2(dir_fd: int) -> None:
    """Check that the kernel opens files safely below this open directory.

    Raises:
        VolumeError: it does not, because the kernel is too old or a sandbox forbids the call.
    """
    try:
        fd = open_beneath(dir_fd, b".", os.O_PATH | os.O_DIRECTORY)
    except OSError as exc:
        raise VolumeError(
            f"the kernel {os.uname().release} refuses the system call openat2 ({exc.strerror}): "
            "Linux 5.6 or newer is needed, and a container runtime whose seccomp profile allows it"
        ) from exc
    os.close(fd)


def _c_string(name: bytes) -> bytes:
    if b"\0" in name:
        raise ValueError(f"file name {name!r} contains a NUL byte")
    return name
