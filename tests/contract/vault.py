"""What an archiver relies on in a vault, wherever it is: on a volume of this machine, or behind a connection."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.writer import ArchiveSummary, write_archive
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Digests, Draft, Vault
from metrics_storage.errors import ArchiveCorruptError, ArchiveError, VolumeFullError
from metrics_storage.model.identity import ArchiveName, Identity, Uid

RUNNER: Final = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
_ROOM: Final = 1 << 20


@dataclass(frozen=True)
class Site:
    """A vault, its volume, and an open source directory."""

    vault: Vault
    volume: Path
    source_fd: int

    def files(self) -> list[str]:
        """Everything on the volume that is an archive's, finished or not."""
        committed = self.volume.glob(f"{RUNNER.namespace}/*")
        unfinished = (self.volume / ".metrics-storage" / "incoming").iterdir()
        return sorted(path.name for path in (*committed, *unfinished) if path.is_file())


@contextmanager
def opened_source(root: Path) -> Iterator[int]:
    """A directory below `root` with a file in it."""
    source = root / "source"
    source.mkdir()
    (source / "metrics.json").write_text("{")
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


Connect = Callable[[], AbstractContextManager[Site]]


def write(site: Site, draft: Draft, **header: Any) -> ArchiveSummary:
    """Write the source into a draft, under a header that says what the vault expects, or something else."""
    fields: dict[str, Any] = {
        "cluster": draft.origin.cluster,
        "namespace": RUNNER.namespace,
        "name": RUNNER.name,
        "uid": RUNNER.uid,
        "node": draft.origin.node,
        "reason": "",
        "attempt": draft.attempt,
        "provisional": False,
        "requested_at": "",
        "created_at": "",
        "software": {},
    }
    return write_archive(site.source_fd, draft.archive_fd, draft.manifest_fd, Header(**fields | header))


def commit(site: Site) -> Digests:
    """One more archive."""
    with site.vault.draft(RUNNER, _ROOM) as draft:
        summary = write(site, draft)
        assert draft.verify(None) == Digests(summary.archive_sha256, summary.manifest_sha256)
        draft.commit()
    return Digests(summary.archive_sha256, summary.manifest_sha256)


def attempt(site: Site, do: Callable[[Draft], object]) -> None:
    """Do something with a draft."""
    with site.vault.draft(RUNNER, _ROOM) as draft:
        do(draft)


class VaultContract:
    """Tests of the vault that the fixture `connect` leads to, on a fresh volume each time."""

    def test_what_is_committed_is_read_back_as_it_was_written(self, connect: Connect) -> None:
        with connect() as site:
            assert site.vault.recover(RUNNER) == 0
            written = commit(site)
            assert site.files() == sorted(ArchiveName.of(RUNNER, 1).files)
            assert site.vault.recover(RUNNER) == 1
            assert site.vault.digests(RUNNER, 1, None) == written
            with site.vault.reading(RUNNER, 1) as fds:
                for fd, file in zip(fds, ArchiveName.of(RUNNER, 1).files, strict=True):
                    with open(fd, "rb", closefd=False) as stream:
                        assert stream.read() == (site.volume / RUNNER.namespace / file).read_bytes()

    def test_the_manifest_that_was_verified_is_read_before_the_commit(self, connect: Connect) -> None:
        with connect() as site, site.vault.draft(RUNNER, _ROOM) as draft:
            write(site, draft)
            draft.verify(None)
            with draft.reading_manifest() as fd, open(fd, "rb", closefd=False) as stream:
                manifest = stream.read()
            draft.commit()
            assert (site.volume / RUNNER.namespace / ArchiveName.of(RUNNER, 1).files[1]).read_bytes() == manifest

    @pytest.mark.parametrize("verified", [False, True])
    def test_what_is_not_committed_leaves_nothing(self, connect: Connect, *, verified: bool) -> None:
        with connect() as site:
            with site.vault.draft(RUNNER, _ROOM) as draft:
                write(site, draft)
                if verified:
                    draft.verify(None)
            assert site.vault.recover(RUNNER) == 0
            assert site.files() == []

    def test_an_error_of_the_writer_leaves_nothing(self, connect: Connect) -> None:
        def fail(draft: Draft) -> None:
            write(site, draft)
            raise ZeroDivisionError

        with connect() as site:
            with pytest.raises(ZeroDivisionError):
                attempt(site, fail)
            assert site.vault.recover(RUNNER) == 0
            assert site.files() == []

    def test_each_attempt_has_a_name_that_nothing_has(self, connect: Connect) -> None:
        with connect() as site:
            first, manifest = commit(site), ArchiveName.of(RUNNER, 2).files[1]
            (site.volume / RUNNER.namespace / manifest).write_text("of an interrupted commit")
            assert site.vault.recover(RUNNER) == 2
            with pytest.raises(FileNotFoundError), site.vault.reading(RUNNER, 2) as (fd, _):
                os.read(fd, 1)
            with site.vault.draft(RUNNER, _ROOM) as draft:
                assert draft.attempt == 3
            assert site.vault.digests(RUNNER, 1, None) == first

    def test_a_name_that_is_taken_meanwhile_is_not_replaced(self, connect: Connect) -> None:
        def take_and_commit(draft: Draft) -> None:
            write(site, draft)
            draft.verify(None)
            taken.parent.mkdir()
            taken.write_text("another's")
            draft.commit()

        with connect() as site:
            taken = site.volume / RUNNER.namespace / ArchiveName.of(RUNNER, 1).files[1]
            with pytest.raises(FileExistsError):
                attempt(site, take_and_commit)
            assert taken.read_text() == "another's"
            site.vault.recover(RUNNER)
            assert site.files() == [taken.name]

    def test_what_is_no_archive_is_not_verified(self, connect: Connect) -> None:
        def write_nonsense(draft: Draft) -> None:
            os.write(draft.archive_fd, b"not gzip")
            os.write(draft.manifest_fd, b"not JSON")
            draft.verify(None)

        with connect() as site:
            with pytest.raises(ArchiveCorruptError):
                attempt(site, write_nonsense)
            assert site.vault.recover(RUNNER) == 0

    @pytest.mark.parametrize(
        "said",
        [{"node": "another"}, {"cluster": "another"}, {"namespace": "another"}, {"name": "another"}, {"attempt": 7}],
        ids=lambda said: next(iter(said)),
    )
    def test_an_archive_that_says_to_be_anothers_is_not_verified(self, connect: Connect, said: dict[str, Any]) -> None:
        def verify(draft: Draft) -> None:
            write(site, draft, **said)
            draft.verify(None)

        with connect() as site:
            with pytest.raises(ArchiveCorruptError, match="and not of"):
                attempt(site, verify)
            assert site.vault.recover(RUNNER) == 0

    def test_a_volume_without_room_says_so_before_anything_is_written(self, connect: Connect) -> None:
        with connect() as site:
            with pytest.raises(VolumeFullError, match="make room"), site.vault.draft(RUNNER, 1 << 60):
                pass
            assert site.files() == []

    def test_a_volume_that_becomes_full_says_so(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with connect() as site:
            monkeypatch.setattr(LocalVault, "_opened_incoming", full)
            with pytest.raises(VolumeFullError, match="is full"), site.vault.draft(RUNNER, _ROOM):
                pass

    def test_an_archive_that_is_not_there_is_an_error(self, connect: Connect) -> None:
        with connect() as site, pytest.raises(ArchiveCorruptError, match="bring it back"):
            site.vault.digests(RUNNER, 1, None)

    def test_what_was_not_verified_is_not_committed(self, connect: Connect) -> None:
        def commit_at_once(draft: Draft) -> None:
            write(site, draft)
            draft.commit()

        with connect() as site:
            with pytest.raises(ArchiveError, match="not verified"):
                attempt(site, commit_at_once)
            site.vault.recover(RUNNER)
            assert site.files() == []
