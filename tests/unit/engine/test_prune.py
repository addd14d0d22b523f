"""What may be pruned is asked again when it is removed, and of the right journal alone."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from metrics_storage.engine.lifecycle.prune import Pruning
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.engine.volume.volume_pair import open_pair
from metrics_storage.errors import JournalMismatchError
from tests.unit.engine.archive_site import RUNNER, Site, opened_site


def pruning(site: Site, storage: Volume) -> Pruning:
    return Pruning(site.store, storage, [site.store.describe(stored) for stored in site.store.archives()])


def test_an_archive_goes_only_where_its_source_is_gone_by_then(tmp_path: Path) -> None:
    with opened_site(tmp_path) as site, Volume(site.storage, Role.STORAGE, initialise=False) as storage:
        one = site.store.describe(site.archive(gone=False))
        chosen = pruning(site, storage)
        assert chosen.reason(one, time.time()) == chosen.remove(one, "me") == "its source is Verified, not Gone"
        assert site.store.archives() == [one.stored]
        site.engine.remove(RUNNER)
        assert chosen.remove(one, "me") is None
        assert site.store.archives() == []
        assert '"removed_by":"me"' in (site.quarantine / ".metrics-storage" / "pruned.jsonl").read_text()


def test_a_journal_that_belongs_with_other_archives_is_not_asked(tmp_path: Path) -> None:
    with opened_site(tmp_path) as site, ExitStack() as stack:
        for name in ("storage-2", "quarantine-2"):
            (tmp_path / name).mkdir()
        other, _ = open_pair(stack, tmp_path / "storage-2", tmp_path / "quarantine-2", new=True)
        with pytest.raises(JournalMismatchError, match="knows nothing of these archives"):
            pruning(site, other)
