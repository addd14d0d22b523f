"""What a person prunes, and what is kept from it."""

import io
import json
import sys
from contextlib import ExitStack

import pytest

from metrics_storage.engine.volume.volume_pair import open_pair
from metrics_storage.model.identity import Identity
from tests.unit.cli.archive_commands import OTHER, Output, age, run
from tests.unit.engine.archive_site import UIDS, Site


def test_prune_keeps_what_the_journal_still_needs(site: Site, capsys: Output) -> None:
    needed = site.archive(gone=False)
    free = site.archive(OTHER)
    arguments = ["prune", "--keep-last=0", "--yes", "--storage-root", site.storage]
    assert run(*arguments, "--dry-run") == 0
    assert len(site.store.archives()) == 2
    capsys.readouterr()
    assert run(*arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == f"removed {free.path}"
    assert "kept, its source is Verified, not Gone:" in captured.err
    assert site.store.archives() == [needed]
    entry = json.loads((site.quarantine / ".metrics-storage" / "pruned.jsonl").read_text())
    assert entry["archive"] == free.path


def test_prune_keeps_an_archive_whose_journal_entry_is_lost_or_unreadable(site: Site, capsys: Output) -> None:
    for identity in (OTHER, Identity("runners", "runner-0", UIDS[0])):
        site.archive(identity, gone=False)
    journal = site.storage / ".metrics-storage" / "journal"
    (journal / f"{UIDS[0]}.json").unlink()
    (journal / f"{UIDS[1]}.json").write_text("{")
    assert run("prune", "--keep-last=0", "--yes", "--storage-root", site.storage) == 0
    assert len(site.store.archives()) == 2
    assert "the journal does not know it" in capsys.readouterr().err


def test_prune_asks_no_journal_that_belongs_to_another_quarantine_volume(site: Site, capsys: Output) -> None:
    site.archive(gone=False)
    for name in ("storage-2", "quarantine-2"):
        (site.root / name).mkdir()
    with ExitStack() as stack:
        open_pair(stack, site.root / "storage-2", site.root / "quarantine-2", new=True)
    assert run("prune", "--keep-last=0", "--yes", "--storage-root", site.root / "storage-2") == 2
    assert "its journal knows nothing of these archives" in capsys.readouterr().err
    assert len(site.store.archives()) == 1


def test_prune_without_a_journal_keeps_what_is_young_or_the_only_trace(site: Site) -> None:
    site.archive(provisional=True)
    site.fill(OTHER)
    site.engine.snapshot(OTHER)
    assert run("prune", "--keep-last=0", "--yes") == 0
    assert len(site.store.archives()) == 3
    age(site, days=2)
    age(site, days=2, attempt=2)
    assert run("prune", "--keep-last=0", "--yes") == 0
    assert [stored.uid for stored in site.store.archives()] == [OTHER.uid]


def test_prune_takes_only_what_all_conditions_mean(site: Site) -> None:
    for number in range(4):
        site.archive(Identity("runners", "runner-0", UIDS[number]))
    age(site, days=40)
    site.archive(Identity("runners", "runner-0", UIDS[4]))
    common = ["--yes", "--storage-root", site.storage]
    assert run("prune", "--older-than=60d", *common) == 0
    assert len(site.store.archives()) == 5
    assert run("prune", "--older-than=30d", "--keep-last=3", *common) == 0
    left = [stored.uid for stored in site.store.archives()]
    assert len(left) == 3
    assert UIDS[4] in left


def test_prune_drops_provisional_archives_that_a_clean_one_followed(site: Site) -> None:
    site.archive(provisional=True)
    site.fill(OTHER)
    site.engine.snapshot(OTHER)
    assert run("prune", "--unclean-superseded", "--yes", "--storage-root", site.storage) == 0
    assert [(stored.uid, stored.attempt) for stored in site.store.archives()] == [(UIDS[0], 2), (OTHER.uid, 1)]


def test_prune_takes_halves_only_when_asked(site: Site) -> None:
    stored = site.archive()
    site.file(stored, ".manifest.jsonl").unlink()
    common = ["--yes", "--storage-root", site.storage]
    assert run("prune", "--keep-last=0", *common) == 0
    assert len(site.store.archives()) == 1
    assert run("prune", "--incomplete", *common) == 0
    assert site.store.archives() == []


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("yes\n", 0), ("\n", 1), ("no\n", 1), ("", 1)])
def test_prune_asks_at_a_terminal(site: Site, answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    site.archive()
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run("prune", "--keep-last=0", "--storage-root", site.storage) == left
    assert len(site.store.archives()) == left
