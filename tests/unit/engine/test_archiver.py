"""Archives on the quarantine volume: which are committed, which are taken, which are never trusted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.archives import archiver
from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.archives.format.writer import ArchiveSummary, write_archive
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import ArchiveCorruptError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Quarantine, Record
from metrics_storage.model.spec import StorageSpec
from tests.contract.vault import opened_source

RECORD = Record(
    identity=Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")),
    spec=StorageSpec(),
    quarantine=Quarantine(reason="not JSON", requested_at="2026-01-01T00:00:00Z"),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Archiver]:
    """A store on a fresh volume."""
    (tmp_path / "quarantine").mkdir()
    with Volume(tmp_path / "quarantine", Role.QUARANTINE, initialise=True) as volume:
        yield Archiver(LocalVault(volume))


@pytest.fixture
def source(tmp_path: Path) -> Iterator[int]:
    """A directory with a file in it."""
    with opened_source(tmp_path) as fd:
        yield fd


def committed(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.glob("quarantine/runners/*.tar.gz"))


def test_a_provisional_archive_that_was_not_recorded_is_not_written_repeatedly(
    store: Archiver, source: int, tmp_path: Path
) -> None:
    first = store.commit_provisional(source, RECORD)
    again = store.commit_provisional(source, RECORD)
    assert (again.attempt, again.archive.sha256) == (first.attempt, first.archive.sha256)
    assert len(committed(tmp_path)) == 1


def test_an_unclean_archive_that_was_not_recorded_is_not_written_repeatedly(
    store: Archiver, source: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*arguments: Any, **named: Any) -> ArchiveSummary:
        source_fd, archive_fd, manifest_fd, header = arguments
        return write_archive(source_fd, archive_fd, manifest_fd, replace(header, provisional=True), **named)

    monkeypatch.setattr(archiver, "write_archive", write)
    first = store.commit(source, RECORD)
    again = store.commit(source, RECORD)
    assert not first.archive.clean
    assert (again.attempt, again.archive.sha256, again.problems) == (1, first.archive.sha256, first.problems)
    assert len(committed(tmp_path)) == 1
    assert not list(tmp_path.glob("quarantine/.metrics-storage/incoming/*"))


@pytest.mark.parametrize("digest", ["archive_sha256", "manifest_sha256"])
def test_a_disk_that_gives_back_another_file_than_was_written_is_not_trusted(
    store: Archiver, source: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    def write(*arguments: Any, **named: Any) -> ArchiveSummary:
        other: dict[str, Any] = {digest: "0" * 64}
        return replace(write_archive(*arguments, **named), **other)

    monkeypatch.setattr(archiver, "write_archive", write)
    with pytest.raises(ArchiveCorruptError, match="not what was written"):
        store.commit(source, RECORD)
    assert committed(tmp_path) == []


def test_a_provisional_commit_that_was_not_recorded_never_counts_as_the_final_one(
    store: Archiver, source: int, tmp_path: Path
) -> None:
    assert not store.commit_provisional(source, RECORD).archive.clean
    final = store.commit(source, RECORD)
    assert final.archive.clean
    assert final.attempt == 2
    assert len(committed(tmp_path)) == 2
