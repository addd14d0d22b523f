"""What is printed: in every locale, and with one clear end where standard output is closed or full.

Nothing of this command uses `print`. Text that the stream's encoding lacks is escaped. What cannot be written to
standard output is an `OutputError`, which `main` turns into an exit code; what cannot be written to standard error
is lost, because nobody is there who could be told.
"""

import contextlib
import errno
import os
import sys
from typing import Final, TextIO


class OutputError(Exception):
    """Standard output takes no more; `is_pipe` where its reader has ended, as `| head` does."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"standard output: {cause.strerror or cause}")
        self.is_pipe = isinstance(cause, BrokenPipeError)


_CLOSED: Final = OSError(errno.EBADF, os.strerror(errno.EBADF))


def say(text: str = "", *, end: str = "\n") -> None:
    """Print to standard output.

    Raises:
        OutputError: it is closed or full, or its reader has ended.
    """
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    try:
        sys.stdout.write(encodable(text + end, sys.stdout))
    except OSError as exc:
        raise OutputError(exc) from exc


def say_bytes(data: bytes) -> None:
    """Print to standard output what is no text, such as names of files; raises as `say`."""
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as exc:
        raise OutputError(exc) from exc


def note(text: str, *, end: str = "\n", stream: TextIO | None = None) -> None:
    """Print to standard error, or another stream for people."""
    stream = stream or sys.stderr
    if stream is None:
        return
    try:
        stream.write(encodable(text + end, stream))
        stream.flush()
    except OSError:
        _abandon(stream)


def flush() -> None:
    """See that what was said has been written; raises as `say`."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as exc:
        raise OutputError(exc) from exc


def abandon() -> None:
    """Drop what standard output did not take, which Python would complain of once more at its end."""
    if sys.stdout is not None:
        _abandon(sys.stdout)


def encodable(text: str, stream: TextIO | None) -> str:
    """Text with everything escaped that the encoding of a stream lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is at the other end."""
    return stream is not None and stream.isatty()


def occupy_standard_descriptors() -> None:
    """Have 0, 1 and 2 open, so that no file of ours, evidence included, ever gets one of these numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _abandon(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        fd = os.open(os.devnull, os.O_WRONLY)
        os.dup2(fd, stream.fileno())
        os.close(fd)
