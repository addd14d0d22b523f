"""Being asked before every chosen system call of another process: the kernel's seccomp user notification.

What strace does with ptrace in milliseconds, in microseconds: the watched process installs a filter and hands its
listener to the supervisor, which lets a call through, fails it or feigns it. Which calls and why is not known here.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
"""Number of the architecture in the kernel's audit headers, and number of seccomp(2)."""

_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_ALLOW: Final = 0x7FFF0000
_NOTIFY: Final = 0x7FC00000
_CONTINUE: Final = 1
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_STILL_WAITS: Final = 0x40082102
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_RESPONSE: Final = struct.Struct("=QqiI")

_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


@dataclass(frozen=True, slots=True)
class Notification:
    """A call that waits for an answer; `pid` is that of the thread."""

    id: int
    pid: int
    number: int
    args: tuple[int, ...]


def install(numbers: Iterable[int]) -> int:
    """Have these calls of this process, and of all threads it starts, answered through the returned listener.

    Raises:
        OSError: the kernel or a sandbox refuses.
    """
    audit, seccomp = _ARCHITECTURES[platform.machine()]
    chosen = sorted(set(numbers))
    code = [
        _INSTRUCTION.pack(_LOAD, 0, 0, 4),
        _INSTRUCTION.pack(_JUMP_EQUAL, 1, 0, audit),
        _INSTRUCTION.pack(_RETURN, 0, 0, _ALLOW),
        _INSTRUCTION.pack(_LOAD, 0, 0, 0),
    ]
    # Jumps count the instructions to skip: over the rest of the list and the return that allows.
    code += [_INSTRUCTION.pack(_JUMP_EQUAL, len(chosen) - at, 0, number) for at, number in enumerate(chosen)]
    code += [_INSTRUCTION.pack(_RETURN, 0, 0, _ALLOW), _INSTRUCTION.pack(_RETURN, 0, 0, _NOTIFY)]
    program = _Program(len(code), b"".join(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    fd: int = libc.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return fd


def receive(listener: int) -> Notification | None:
    """The next call that waits; None where its thread died meanwhile."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as exc:
        if exc.errno == errno.ENOENT:
            return None
        raise
    identifier, pid, _, number, _, _, *args = _NOTIFICATION.unpack(buffer)
    return Notification(identifier, pid, number, tuple(args))


def still_waits(listener: int, notification: Notification) -> bool:
    """Whether the thread lives: what was read of it before is worth nothing otherwise."""
    try:
        fcntl.ioctl(listener, _STILL_WAITS, struct.pack("=Q", notification.id))
    except FileNotFoundError:
        return False
    return True


def let_through(listener: int, notification: Notification) -> None:
    """Let the kernel do what was asked."""
    _answer(listener, _RESPONSE.pack(notification.id, 0, 0, _CONTINUE))


def fail(listener: int, notification: Notification, code: int) -> None:
    """Have the call fail with an errno, without being done."""
    _answer(listener, _RESPONSE.pack(notification.id, 0, -code, 0))


def feign(listener: int, notification: Notification, value: int = 0) -> None:
    """Have the call return a value, without being done."""
    _answer(listener, _RESPONSE.pack(notification.id, value, 0, 0))


def memory(pid: int, address: int, size: int) -> bytes:
    """Bytes of a waiting process."""
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(fd, size, address)
    finally:
        os.close(fd)


def text(pid: int, address: int) -> bytes:
    """A string of a waiting process, at most 4096 bytes; a string may end just before memory that is not there."""
    page = 4096
    data = memory(pid, address, page - address % page)
    if b"\0" not in data:
        data += memory(pid, address + len(data), page)
    return data.partition(b"\0")[0]


def _answer(listener: int, response: bytes) -> None:
    # ENOENT: the thread was killed while it waited.
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, _SEND, bytearray(response))
