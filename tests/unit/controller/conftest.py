"""Fixtures of the controller's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from metrics_storage.controller.events import Events
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.site import OneSite, Site
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.kube.api import Api
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.kube.volumes import Volumes
from metrics_storage.model.identity import Uid
from tests.unit.controller.fake_api import FakeApi
from tests.unit.controller.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world with nothing in it."""
    monkeypatch.setattr("metrics_storage.kube.deletion_waiter._FIRST_LOOK", 0.001)
    for name in ("storage", "quarantine"):
        (tmp_path / name).mkdir()
    with (
        Volume(tmp_path / "storage", Role.STORAGE, initialise=True) as storage,
        Volume(tmp_path / "quarantine", Role.QUARANTINE, initialise=True) as quarantine,
    ):
        fake = FakeApi()
        api = cast("Api", fake)
        disk = StorageEngine(storage, LocalVault(quarantine))
        engine = LocalEngine(disk, workers=2, archive_workers=1)
        template = VolumeTemplate("hostPath", "/srv")
        site = Site(engine, Uid(storage.id), template, Volumes(api, DeletionWaiter(api), template, storage.id))
        yield World(fake, Reconciler(api, OneSite(site, "here"), Events(api)), tmp_path, disk)
        engine.close()
