"""Archives of a node in its controller's vault: neither believes the other, and every step can be repeated."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.archives import archiver
from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.local_vault import LocalDraft, LocalVault
from metrics_storage.engine.archives.vault import Digests
from metrics_storage.errors import ArchiveCorruptError, NodeUnavailableError
from metrics_storage.model.record import Phase
from tests.contract.engine import NOW, RUNNER, SPEC
from tests.contract.fleet import remote, run


@asynccontextmanager
async def latched(root: Path) -> AsyncIterator[tuple[Any, Path]]:
    """A node with a flagged runner that has written something."""
    async with remote(root) as (engine, here, _):
        await engine.ensure(RUNNER, SPEC)
        (here.root / "storage" / RUNNER.relative_path / "evidence").write_text("{")
        await engine.latch(RUNNER, "not JSON", NOW)
        yield engine, here.root


async def archive_without_receipt(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an archive committed of which the node never hears."""
    commit = LocalDraft.commit

    def commit_then_fail(draft: LocalDraft) -> None:
        commit(draft)
        raise NodeUnavailableError("the receipt is lost")

    with monkeypatch.context() as patch:
        patch.setattr(LocalDraft, "commit", commit_then_fail)
        with pytest.raises(NodeUnavailableError):
            await engine.archive(RUNNER)


def test_a_node_removes_nothing_on_digests_that_it_did_not_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = LocalDraft.verify

    def other(draft: LocalDraft, progress: Any) -> Digests:
        return replace(verify(draft, progress), archive="0" * 64)

    async def rule() -> None:
        async with latched(tmp_path) as (engine, root):
            with monkeypatch.context() as patch:
                patch.setattr(LocalDraft, "verify", other)
                with pytest.raises(ArchiveCorruptError, match="not what was written"):
                    await engine.archive(RUNNER)
            assert not list(root.glob("quarantine/runners/*"))
            assert (await engine.archive(RUNNER)).phase is Phase.VERIFIED
            with monkeypatch.context() as patch:
                patch.setattr(LocalVault, "digests", lambda *_: Digests("0" * 64, "0" * 64))
                with pytest.raises(ArchiveCorruptError, match="bring them back"):
                    await engine.remove(RUNNER)
            assert (root / "storage" / ".metrics-storage" / "frozen" / RUNNER.uid / "evidence").exists()
            assert (await engine.remove(RUNNER)).phase is Phase.GONE

    run(rule())


def test_a_node_cannot_say_that_another_one_had_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = archiver._header

    def forged(*args: Any) -> Header:
        return replace(header(*args), node="node-2")

    async def rule() -> None:
        async with latched(tmp_path) as (engine, root):
            with monkeypatch.context() as patch:
                patch.setattr(archiver, "_header", forged)
                with pytest.raises(ArchiveCorruptError, match="and not of"):
                    await engine.archive(RUNNER)
            assert not list(root.glob("quarantine/runners/*"))

    run(rule())


def test_a_node_compares_its_source_with_what_the_vault_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with latched(tmp_path) as (engine, root):
            await archive_without_receipt(engine, monkeypatch)
            frozen = root / "storage" / ".metrics-storage" / "frozen" / RUNNER.uid / "evidence"
            frozen.write_text("[")
            record = await engine.archive(RUNNER)
            assert (record.phase, record.quarantine.attempt) == (Phase.VERIFIED, 2)
            assert len(list(root.glob("quarantine/runners/*.tar.gz"))) == 2

    run(rule())


def test_a_committed_archive_whose_receipt_was_lost_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with latched(tmp_path) as (engine, root):
            await archive_without_receipt(engine, monkeypatch)
            record = await engine.archive(RUNNER)
            assert (record.phase, record.quarantine.attempt) == (Phase.VERIFIED, 1)
            assert len(list(root.glob("quarantine/runners/*.tar.gz"))) == 1

    run(rule())


def test_an_archive_far_larger_than_a_message_arrives_whole(tmp_path: Path) -> None:
    async def rule() -> None:
        async with latched(tmp_path) as (engine, root):
            (root / "storage" / RUNNER.relative_path / "random").write_bytes(os.urandom(5_000_000))
            assert (await engine.archive(RUNNER)).phase is Phase.VERIFIED
            (archive,) = root.glob("quarantine/runners/*.tar.gz")
            assert archive.stat().st_size > 5_000_000
            assert (await engine.remove(RUNNER)).phase is Phase.GONE

    run(rule())
