"""What cannot be read for good keeps its source until a person accepts exactly that as lost."""

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metrics_storage.cli.main import main
from metrics_storage.engine.archives import archiver as module
from metrics_storage.engine.archives.format import xattrs
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.losses import Losses
from metrics_storage.engine.lifecycle import losses as losses_module
from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.lifecycle.quarantines import Quarantines
from metrics_storage.errors import UncleanArchiveError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.engines import engine_below
from tests.unit.engine.loops import mounted

IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
NOW = "2026-01-01T00:00:00Z"
LOST = Entry(b"runner-0/f", 1, "file", "unreadable", stored=True, xattrs_error="E2BIG")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageEngine]:
    """A frozen directory on XFS, with a file that has more names of attributes than one without CAP_SYS_ADMIN sees."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(xattrs, "list_long", refuse)
    with mounted("xfs") as root, engine_below(root) as engine:
        engine.ensure(IDENTITY, StorageSpec(owner="0:0"))
        spoil(engine.storage.path / IDENTITY.namespace / IDENTITY.directory_name / "f")
        engine.latch(IDENTITY, "bad", NOW)
        for _ in range(3):
            with pytest.raises(UncleanArchiveError) as caught:
                engine.archive(IDENTITY)
        assert "f: unreadable (extended attributes: E2BIG)" in str(caught.value)
        assert f"metrics-storage archives accept {IDENTITY.uid}" in str(caught.value)
        yield engine


def spoil(path: Path) -> None:
    path.write_text("evidence")
    for number in range(400):
        os.setxattr(path, f"user.{'n' * 200}{number}", b"v")


def accept(engine: StorageEngine, *flags: str) -> int:
    roots = [
        "--storage-root",
        str(engine.storage.path),
        "--quarantine-root",
        str(engine.storage.path.parent / "quarantine"),
    ]
    return main(["archives", "accept", IDENTITY.uid, *roots, *flags])


def frozen(engine: StorageEngine) -> Path:
    return engine.storage.path / ".metrics-storage" / "frozen" / IDENTITY.uid


def archives(engine: StorageEngine) -> list[Path]:
    return sorted((engine.storage.path.parent / "quarantine").glob("*/*.tar.gz"))


def test_an_archive_counts_that_lacks_what_was_accepted(
    engine: StorageEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(archives(engine)) == 1
    assert accept(engine) == 0
    told = capsys.readouterr()
    assert "  runner-0/f  [unreadable (extended attributes: E2BIG)]\n" in told.out
    assert "Nothing was accepted" in told.err
    with pytest.raises(UncleanArchiveError):
        engine.archive(IDENTITY)
    assert accept(engine, "--yes") == 0
    accepted = Declarations(engine.storage).accepted_losses(IDENTITY.uid)
    record = engine.archive(IDENTITY)
    assert record.phase is Phase.VERIFIED
    assert record.quarantine is not None
    assert record.quarantine.accepted_losses == accepted
    assert engine.find(IDENTITY.uid) == record
    assert record.quarantine.archive is not None
    assert not record.quarantine.archive.clean
    assert engine.remove(IDENTITY).phase is Phase.GONE
    last = archives(engine)[-1]
    found = subprocess.run(["tar", "xzOf", last, "runner-0/f"], check=True, capture_output=True)
    assert found.stdout == b"evidence"
    assert not os.listdir(engine.storage.path / ".metrics-storage" / "released")


def test_what_was_not_accepted_keeps_the_source_and_is_shown_once(
    engine: StorageEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(engine, "--yes")
    spoil(frozen(engine) / "g")
    with pytest.raises(UncleanArchiveError, match="not what was accepted as lost"):
        engine.archive(IDENTITY)
    assert (frozen(engine) / "g").exists()
    for _ in range(2):
        with pytest.raises(UncleanArchiveError):
            engine.archive(IDENTITY)
    assert len(archives(engine)) == 2
    capsys.readouterr()
    assert accept(engine, "--yes") == 0
    assert "  runner-0/g  [unreadable (extended attributes: E2BIG)]\n" in capsys.readouterr().out
    assert engine.archive(IDENTITY).phase is Phase.VERIFIED


def test_a_source_that_changes_meanwhile_is_kept_though_its_losses_are_accepted(
    engine: StorageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(engine, "--yes")
    monkeypatch.setattr(module, "compare_source", lambda *_, **__: ("runner-0/f: size 9",))
    with pytest.raises(UncleanArchiveError, match="size 9"):
        engine.archive(IDENTITY)
    assert len(archives(engine)) == 1


def test_there_is_nothing_to_accept_without_a_kept_archive_or_without_losses(
    engine: StorageEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    (frozen(engine) / "f").unlink()
    record = engine.archive(IDENTITY)
    assert record.phase is Phase.VERIFIED
    assert record.quarantine is not None
    assert record.quarantine.accepted_losses is None
    assert accept(engine, "--yes") == 1
    assert "has no quarantine that waits for an archive" in capsys.readouterr().err


def test_every_loss_and_every_error_counts() -> None:
    def digest(*entries: Entry) -> str | None:
        losses = Losses()
        for entry in entries:
            losses.add(entry)
        return losses.sha256

    other = [
        replace(LOST, path=b"runner-0/g"),
        replace(LOST, error="EIO"),
        replace(LOST, xattrs_error="EIO"),
        replace(LOST, type="directory"),
        replace(LOST, size=9),
        replace(LOST, blocks_sha256="0" * 64),
        replace(LOST, xattrs={b"user.a": b"1"}),
        replace(LOST, stored=False),
    ]
    assert len({digest(LOST), digest(LOST, LOST), digest(), *map(digest, other)}) == 11
    assert digest(LOST, Entry(b"runner-0/z", 1, "file", stored=True)) == digest(LOST)


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Where nothing can be read, as offsets in every file; empty at first."""
    real, bad = os.pread, list[range]()

    def failing(fd: int, length: int, offset: int) -> bytes:
        if any(offset <= where.stop - 1 and where.start < offset + length for where in bad):
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", failing)
    return bad


@pytest.fixture
def latched(tmp_path: Path) -> Iterator[StorageEngine]:
    """A directory with one file, which waits for its archive."""
    with engine_below(tmp_path) as engine:
        engine.ensure(IDENTITY, StorageSpec(owner=f"{os.getuid()}:{os.getgid()}"))
        live(engine).write_bytes(b"e" * 600_000)
        engine.latch(IDENTITY, "bad", NOW)
        yield engine


def live(engine: StorageEngine) -> Path:
    return engine.storage.path / IDENTITY.namespace / IDENTITY.directory_name / "f"


def test_a_loss_that_grew_after_it_was_accepted_keeps_the_source(latched: StorageEngine, bad: list[range]) -> None:
    bad.append(range(8192, 8193))
    with pytest.raises(UncleanArchiveError, match=r"f: unreadable \(EIO\)"):
        latched.archive(IDENTITY)
    assert accept(latched, "--yes") == 0
    bad[0] = range(600_000)
    with pytest.raises(UncleanArchiveError, match="accepted anew"):
        latched.archive(IDENTITY)
    assert (frozen(latched) / "f").exists()
    bad[0] = range(8192, 8193)
    with pytest.raises(UncleanArchiveError):
        latched.archive(IDENTITY)
    assert Declarations(latched.storage).accepted_losses(IDENTITY.uid) is None


def test_what_the_first_archive_lacks_can_be_accepted_though_it_was_not_recorded(
    latched: StorageEngine, bad: list[range], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad.append(range(600_000))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Quarantines, "_count_unclean", die)
        with pytest.raises(KeyboardInterrupt):
            latched.archive(IDENTITY)
    with pytest.raises(UncleanArchiveError):
        latched.archive(IDENTITY)
    assert len(archives(latched)) == 1
    assert accept(latched, "--yes") == 0
    assert latched.archive(IDENTITY).phase is Phase.VERIFIED


def test_losses_in_a_file_that_grew_after_its_snapshot_can_be_accepted(
    latched: StorageEngine, bad: list[range]
) -> None:
    bad.append(range(600_000))
    latched.snapshot(IDENTITY)
    with live(latched).open("ab") as file:
        file.write(b"more")
    for _ in range(2):
        with pytest.raises(UncleanArchiveError):
            latched.archive(IDENTITY)
        assert accept(latched, "--yes") == 0
    assert latched.archive(IDENTITY).phase is Phase.VERIFIED


def test_a_directory_that_cannot_be_listed_to_its_end_is_never_accepted() -> None:
    losses = Losses()
    losses.add(replace(LOST, type="directory", error="EIO", xattrs_error=None))
    assert not losses.complete


@pytest.mark.parametrize(
    ("other", "code", "said"),
    [
        (replace(LOST, type="directory", error="EIO"), 2, "cannot be listed to its end"),
        (replace(LOST, path=b"runner-0/g", status="changed"), 0, "was changed while it was written"),
    ],
)
def test_the_command_says_what_is_not_accepted_with_the_losses(
    engine: StorageEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    other: Entry,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(losses_module, "ManifestReader", lambda _: [LOST, other])
    assert accept(engine, "--yes") == code
    assert said in capsys.readouterr().err
    assert (Declarations(engine.storage).accepted_losses(IDENTITY.uid) is None) == (code != 0)


@pytest.mark.parametrize("status", ["changed", "vanished", "other-mount"])
def test_what_may_still_be_mended_is_no_loss(status: str) -> None:
    losses = Losses()
    losses.add(replace(LOST, status=status))
    assert (losses.sha256, losses.complete) == (None, False)
