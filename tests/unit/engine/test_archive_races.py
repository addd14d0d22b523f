"""Sources that change, vanish or fail while they are read, and targets that cannot be written."""

import errno
import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from metrics_storage.engine.archives.format import source as source_module
from metrics_storage.engine.archives.format import write_archive
from metrics_storage.engine.fs.syscalls import open_beneath
from tests.unit.engine.archiving import HEADER, Archiving, close, open_count


def at_first_read(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Run an action once, after the first piece of content was read."""
    real = os.pread
    pending = [action]

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        if pending:
            pending.pop()()
        return data

    monkeypatch.setattr(os, "pread", pread)


def at_open(monkeypatch: pytest.MonkeyPatch, name: bytes, action: Callable[[], None]) -> None:
    """Run an action between the walk's lstat of an entry and its opening."""

    def open_late(dir_fd: int, opened: bytes, flags: int) -> int:
        if opened == name:
            action()
        return open_beneath(dir_fd, opened, flags)

    monkeypatch.setattr(source_module, "open_beneath", open_late)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(lambda path: append(path, b"more"), id="grows"),
        pytest.param(lambda path: os.truncate(path, 300_000), id="shrinks"),
        pytest.param(lambda path: path.chmod(0o600), id="changes its mode"),
        pytest.param(os.utime, id="is touched"),
    ],
)
def test_a_file_that_changes_while_it_is_read_keeps_its_length_and_is_named(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, action: Callable[[Path], None]
) -> None:
    path = archiving.source / "file"
    path.write_bytes(b"x" * 1_000_000)
    (archiving.source / "next").write_text("text")
    at_first_read(monkeypatch, lambda: action(path))
    summary = archiving.write()
    assert (summary.clean, summary.problems) == (False, ("runner-0/file: changed",))
    assert not archiving.verify(summary.archive_sha256).clean
    extracted = archiving.extract()
    assert (extracted / "file").stat().st_size == 1_000_000
    assert (extracted / "next").read_text() == "text"


def test_a_write_that_restores_the_time_is_found_by_comparing(archiving: Archiving) -> None:
    path = archiving.source / "file"
    path.write_bytes(b"a" * 1000)
    info = path.stat()
    assert archiving.write().clean
    path.write_bytes(b"b" * 1000)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    (difference,) = archiving.compare()
    assert difference.startswith("runner-0/file: blocks_sha256 ")


@pytest.mark.parametrize("replacement", ["nothing", "link", "fifo", "file", "directory"])
def test_a_file_replaced_before_it_is_opened_is_neither_followed_nor_read(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, replacement: str
) -> None:
    path = archiving.source / "file"
    path.write_text("text")
    (archiving.root / "secret").write_text("canary")

    def replace() -> None:
        path.rename(archiving.root / "old")
        match replacement:
            case "link":
                path.symlink_to(archiving.root / "secret")
            case "fifo":
                os.mkfifo(path)
            case "file":
                path.write_text("canary")
            case "directory":
                path.mkdir()

    at_open(monkeypatch, b"file", replace)
    summary = archiving.write()
    entry = archiving.entries()[b"file"]
    assert entry.status == ("vanished" if replacement == "nothing" else "changed")
    assert not entry.stored
    assert not summary.clean
    archiving.verify()
    assert os.listdir(archiving.extract()) == []


def test_a_directory_that_changes_after_its_entry_makes_the_archive_unclean(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archiving.source / "file").write_text("text")
    at_first_read(monkeypatch, (archiving.source / "new").touch)
    summary = archiving.write()
    assert (summary.clean, summary.problems) == (False, ("runner-0: changed while it was read",))
    assert not archiving.verify().clean
    assert any("runner-0/new: is not in the archive" in line for line in archiving.compare())


def test_a_shredder_at_work_never_spoils_the_archive(archiving: Archiving) -> None:
    for number in range(300):
        (archiving.source / f"{number:03}").mkdir()
        (archiving.source / f"{number:03}" / "file").write_bytes(b"x" * 5000)
    stop = threading.Event()

    def shred() -> None:
        for number in range(299, 0, -1):
            folder = archiving.source / f"{number:03}"
            (folder / "file").unlink()
            folder.rmdir()
            folder.symlink_to("/etc")
            if stop.is_set():
                return

    thread = threading.Thread(target=shred)
    thread.start()
    try:
        archiving.write()
    finally:
        stop.set()
        thread.join()
    archiving.verify()
    assert b"root:" not in gzip.decompress(archiving.archive.read_bytes())


def test_content_that_cannot_be_read_becomes_zeros_and_a_status(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archiving.source / "bad").write_bytes(b"x" * 600_000)
    (archiving.source / "good").write_text("text")
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        if 0 < offset < 500_000:
            raise OSError(errno.EIO, "injected")
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    summary = archiving.write()
    assert summary.problems == ("runner-0/bad: unreadable (EIO)",)
    archiving.verify(summary.archive_sha256)
    extracted = archiving.extract()
    data = (extracted / "bad").read_bytes()
    assert (len(data), data[:262_144].strip(b"x"), data[262_144:520_192].strip(b"\0")) == (600_000, b"", b"")
    assert data[520_192:].strip(b"x") == b""
    assert (extracted / "good").read_text() == "text"


def test_around_a_page_that_cannot_be_read_everything_is_archived(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(600_000)
    (archiving.source / "bad").write_bytes(content)
    bad = range(100 * 4096, 101 * 4096)
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        if offset < bad.stop and bad.start < offset + size:
            raise OSError(errno.EIO, "injected")
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert archiving.write().problems == ("runner-0/bad: unreadable (EIO)",)
    archiving.verify()
    data = (archiving.extract() / "bad").read_bytes()
    assert data == content[: bad.start] + bytes(4096) + content[bad.stop :]


@pytest.mark.parametrize("names", [0, 2])
@pytest.mark.parametrize("where", ["", "sub"])
def test_a_directory_that_cannot_be_listed_to_its_end_is_archived_up_to_there(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, where: str, names: int
) -> None:
    directory = archiving.source / where
    directory.mkdir(exist_ok=True)
    for name in "abc":
        (directory / name).write_text(name)
    inode, real = directory.stat().st_ino, os.scandir

    @contextmanager
    def scandir(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with real(fd) as entries:
            yield fail_after(entries, names) if os.fstat(fd).st_ino == inode else entries

    monkeypatch.setattr(os, "scandir", scandir)
    summary = archiving.write()
    path = "/".join(filter(None, ("runner-0", where)))
    assert summary.problems == (f"{path}: unreadable (EIO)",)
    assert not archiving.verify().clean
    assert archiving.compare() == ()
    monkeypatch.undo()
    assert sum(1 for found in (archiving.extract() / where).iterdir() if found.is_file()) == names


def fail_after(entries: Iterator[os.DirEntry[str]], number: int) -> Iterator[os.DirEntry[str]]:
    yield from islice(entries, number)
    raise OSError(errno.EIO, "injected")


def test_what_cannot_be_opened_is_an_entry_without_a_member(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archiving.source / "file").touch()

    def refuse() -> None:
        raise PermissionError(errno.EACCES, "injected")

    at_open(monkeypatch, b"file", refuse)
    assert archiving.write().problems == ("runner-0/file: unreadable (EACCES)",)
    assert not archiving.verify().clean


@pytest.mark.parametrize("full", ["archive", "manifest"])
def test_a_full_volume_is_an_error_and_leaks_nothing(archiving: Archiving, full: str) -> None:
    (archiving.source / "file").write_bytes(os.urandom(3_000_000))
    fds = [
        os.open(archiving.source, os.O_RDONLY | os.O_DIRECTORY),
        os.open("/dev/full" if full == "archive" else archiving.archive, os.O_WRONLY | os.O_CREAT),
        os.open("/dev/full" if full == "manifest" else archiving.manifest, os.O_WRONLY | os.O_CREAT),
    ]
    before, threads = open_count(), threading.active_count()
    with pytest.raises(OSError, match="No space left"):
        write_archive(fds[0], fds[1], fds[2], HEADER)
    assert (open_count(), threading.active_count()) == (before, threads)
    close(fds)


def test_progress_is_told_and_can_cancel(archiving: Archiving) -> None:
    (archiving.source / "file").write_bytes(b"x" * 40_000_000)
    told: list[int] = []

    def cancel(bytes_done: int, _entries: int) -> None:
        told.append(bytes_done)
        if bytes_done > 16_000_000:
            raise InterruptedError

    before = open_count()
    with pytest.raises(InterruptedError):
        archiving.write(progress=cancel)
    assert 2 <= len(told) <= 4
    assert open_count() == before
