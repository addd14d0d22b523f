"""What the reconciler does for the sweep, whose lists may be old and for whom nobody comes back."""

import asyncio
import copy

import pytest

from metrics_storage.controller import attempts
from metrics_storage.engine.host import LocalEngine
from metrics_storage.errors import (
    MetricsStorageError,
    PersistentlyUncleanError,
)
from metrics_storage.kube.resources import CLAIMS, STORAGES, VOLUMES
from tests.unit.controller.fake_api import Object
from tests.unit.controller.world import UID, World


def look_after(world: World, body: Object) -> None:
    asyncio.run(world.reconciler.look_after(body, bound=False))


def test_an_old_list_makes_nothing_for_what_is_gone_meanwhile(world: World) -> None:
    world.apply()
    world.reconcile()
    stale = copy.deepcopy(world.body)
    stale["metadata"]["finalizers"] = ["metricsstorage.dev/directory"]
    world.finalize()
    look_after(world, stale)
    del world.api.objects[STORAGES, "runners", "runner-0"]
    asyncio.run(world.reconciler.forget(UID))
    look_after(world, stale)
    assert not world.live.exists()
    assert not [key for key in world.api.objects if key[0] in (CLAIMS, VOLUMES)]


def test_an_old_list_does_not_make_who_is_being_deleted_look_ready(world: World) -> None:
    world.apply()
    world.body["metadata"]["finalizers"] = ["metricsstorage.dev/directory"]
    world.reconcile()
    stale = copy.deepcopy(world.body)
    (world.live / "metrics.json").write_text("{")
    with world.holding_claims(), pytest.raises(MetricsStorageError, match="is still in use"):
        world.finalize()
    asyncio.run(world.reconciler.look_after(stale, bound=True))
    assert world.reason("Ready") == "ClaimInUse"


def test_a_deletion_that_no_handler_comes_back_to_is_concluded_with_its_finalizer(world: World) -> None:
    world.apply()
    world.reconcile()
    finalizers = ["example.com/other", "metricsstorage.dev/directory"]
    world.body["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}
    asyncio.run(world.reconciler.conclude(world.body))
    assert not world.live.exists()
    assert world.body["metadata"]["finalizers"] == ["example.com/other"]


def test_a_deletion_that_cannot_be_concluded_keeps_its_finalizer(world: World) -> None:
    world.apply()
    world.reconcile()
    finalizers = ["metricsstorage.dev/directory"]
    world.body["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}
    with world.holding_claims(), pytest.raises(MetricsStorageError, match="is still in use"):
        asyncio.run(world.reconciler.conclude(world.body))
    assert world.body["metadata"]["finalizers"] == finalizers


def test_a_quarantine_that_no_handler_comes_back_to_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply()
    world.reconcile()
    world.body["metadata"]["annotations"] = {"metricsstorage.dev/quarantine": "not JSON"}
    with world.holding_claims(), pytest.raises(MetricsStorageError, match="is still in use"):
        world.reconcile()
    asyncio.run(world.reconciler.resume(world.body))
    assert world.reason("Quarantined") != "Quarantined"
    monkeypatch.setattr(attempts, "_OVERDUE", -60.0)
    asyncio.run(world.reconciler.resume(world.body))
    assert world.reason("Quarantined") == "Quarantined"


def test_a_hopeless_archive_is_not_tried_out_of_turn_by_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply()
    world.reconcile()
    world.body["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["metricsstorage.dev/directory"],
    }
    attempts = []

    async def fail(*_: object) -> None:
        attempts.append(1)
        raise PersistentlyUncleanError("unreadable")

    monkeypatch.setattr(LocalEngine, "condemn", fail)
    with pytest.raises(PersistentlyUncleanError):
        world.finalize()
    asyncio.run(world.reconciler.conclude(world.body))
    assert len(attempts) == 1


def test_what_kopf_has_not_taken_yet_is_left_to_it(world: World) -> None:
    world.apply()
    look_after(world, world.body)
    assert not world.live.exists()
