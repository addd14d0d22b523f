"""What the reconciler does whatever fails: the directory goes last, and only when everything said so."""

import asyncio
import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.errors import (
    ClaimInUseError,
    KubernetesError,
    MetricsStorageError,
    VolumeFullError,
)
from metrics_storage.kube.resources import CLAIMS, STORAGES, VOLUMES, Resource
from tests.unit.controller.world import UID, World


def test_with_one_volume_there_is_no_consumer_to_wait_for(world: World) -> None:
    world.apply({"volumeBindingMode": "WaitForFirstConsumer"})
    world.reconcile()
    assert world.reason("Ready") == "Provisioned"
    assert world.api.objects[CLAIMS, "runners", "runner-0"]["spec"]["storageClassName"] == "metrics-storage"


def test_a_claim_in_use_keeps_the_directory(world: World) -> None:
    world.apply()
    world.reconcile()
    with world.holding_claims(), pytest.raises(MetricsStorageError, match="is still in use"):
        world.finalize()
    assert world.live.is_dir()
    assert world.reason("Ready") == "ClaimInUse"
    world.finalize()
    assert not world.live.exists()


def test_who_holds_the_claim_of_evidence_is_named_through_all_attempts(world: World) -> None:
    world.apply()
    world.reconcile()
    world.apply(reason="not JSON")
    with world.holding_claims():
        for _ in range(3):
            with pytest.raises(MetricsStorageError, match="is still in use"):
                world.reconcile()
            assert world.reason("Ready") == "ClaimInUse"
        with world.recorded_writes() as writes, pytest.raises(MetricsStorageError):
            world.reconcile()
    assert [write for write in writes if write != ("delete", CLAIMS)] == []
    world.reconcile()
    assert world.reason("Quarantined") == "Quarantined"


def test_a_person_who_must_act_is_called_once_and_not_with_every_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise VolumeFullError("make room")

    world.apply(reason="not JSON")
    with monkeypatch.context() as patch:
        patch.setattr(LocalVault, "_require_room", refuse)
        with pytest.raises(VolumeFullError):
            world.reconcile()
        assert world.reason("Stalled") == "QuarantineVolumeFull"
        with world.recorded_writes() as writes, pytest.raises(VolumeFullError):
            world.reconcile()
        assert writes == []
    world.reconcile()
    assert world.reason("Stalled") == "Quarantined"


def test_an_annotation_that_arrives_while_a_deletion_waits_is_honoured(world: World) -> None:
    world.apply()
    world.reconcile()
    (world.live / "metrics.json").write_text("{")
    stale = world.body
    world.apply(reason="late")
    for body in (stale, world.body):
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    asyncio.run(world.reconciler.finalize(stale))
    assert len(world.archives) == 1


def test_a_resource_that_vanished_while_its_deletion_waited_keeps_its_directory(world: World) -> None:
    world.apply()
    world.reconcile()
    stale = world.body
    del world.api.objects[STORAGES, "runners", "runner-0"]
    with pytest.raises(MetricsStorageError, match="its directory is kept"):
        asyncio.run(world.reconciler.finalize(stale))
    assert world.live.is_dir()


def test_another_resource_of_the_name_does_not_answer_for_the_first(world: World) -> None:
    world.apply()
    world.reconcile()
    stale = world.body
    world.apply()
    world.body["metadata"]["uid"] = UID.replace("0", "9")
    with pytest.raises(MetricsStorageError, match="its directory is kept"):
        asyncio.run(world.reconciler.finalize(stale))
    assert world.live.is_dir()


def test_a_spec_that_turned_invalid_does_not_hold_a_quarantine_back(world: World) -> None:
    world.apply()
    world.reconcile()
    world.apply(spec={"capacity": "much"}, reason="bad")
    world.reconcile()
    assert len(world.archives) == 1
    assert world.reason("Stalled") == "Quarantined"


def test_a_policy_that_nobody_knows_destroys_nothing(world: World) -> None:
    world.apply()
    world.reconcile()
    world.body["spec"]["deletionPolicy"] = "Maybe"
    with pytest.raises(MetricsStorageError, match="Maybe"):
        world.finalize()
    assert world.live.is_dir()


def test_a_claim_whose_owner_was_taken_away_is_still_waited_for(world: World) -> None:
    world.apply()
    world.reconcile()
    world.api.objects[CLAIMS, "runners", "runner-0"]["metadata"]["ownerReferences"] = []
    with world.holding_claims(), pytest.raises(MetricsStorageError, match="is still in use"):
        world.finalize()
    assert world.live.is_dir()


def test_a_deletion_that_was_taken_back_destroys_nothing(world: World) -> None:
    """An etcd restored from an old snapshot knows nothing of the deletion that the operator saw."""
    world.apply()
    world.reconcile()
    stale = copy.deepcopy(world.body)
    stale["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(MetricsStorageError, match="not being deleted any more"):
        asyncio.run(world.reconciler.finalize(stale))
    assert world.live.is_dir()


def test_a_policy_that_changes_after_the_condemnation_does_not_stop_the_removal(world: World) -> None:
    world.apply()
    world.reconcile()
    world.condemn()
    world.body["spec"]["deletionPolicy"] = "Retain"
    world.finalize()
    assert not list((world.root / "storage" / ".metrics-storage" / "trash").iterdir())


def test_a_reconciled_storage_is_not_written_again(world: World) -> None:
    world.apply()
    world.reconcile()
    verbs: list[str] = []
    world.api.before = lambda verb, _resource: verbs.append(verb)
    world.reconcile()
    assert set(verbs) == {"get"}


class Sabotage:
    """Raises at one request of a run, before it has its effect or, as a lost reply, after."""

    def __init__(self, number: int, error: Callable[[], Exception]) -> None:
        self.number = number
        self.error = error
        self.calls = 0

    def __call__(self, _verb: str, resource: Resource) -> None:
        if resource in (CLAIMS, VOLUMES, STORAGES):
            self.calls += 1
            if self.calls == self.number:
                raise self.error()


ERRORS: list[Callable[[], Exception]] = [
    lambda: KubernetesError("500 etcd is gone", 500),
    lambda: KubernetesError("403 forbidden", 403),
    lambda: ZeroDivisionError("a bug"),
    lambda: OSError(5, "Input/output error"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["500", "403", "bug", "EIO"])
@pytest.mark.parametrize("reason", ["", "bad"], ids=["deletion", "quarantine"])
def test_any_error_at_any_request_keeps_the_data_and_the_next_attempt_converges(
    world: World, reason: str, error: Callable[[], Exception]
) -> None:
    for number in itertools.count(1):
        world.api.objects.clear()
        world.apply()
        world.reconcile()
        (world.live / "metrics.json").write_text("{")
        world.apply(reason=reason)
        archived = len(world.archives)
        sabotage = Sabotage(number, error)
        world.api.before = sabotage
        failed = attempt(world.finalize)
        world.api.before = lambda _verb, _resource: None
        if failed and not reason and world.api.objects.get((CLAIMS, "runners", "runner-0")):
            assert (world.live / "metrics.json").exists(), f"request {number}"
        world.finalize()
        assert not world.live.exists()
        assert len(world.archives) == archived + bool(reason)
        assert not [key for key in world.api.objects if key[0] in (CLAIMS, VOLUMES)]
        asyncio.run(world.reconciler.forget(UID))
        if sabotage.calls < number:
            assert number > 5, "the sabotage must have hit something"
            return


def attempt(call: Callable[[], Any]) -> bool:
    """Whether a call failed."""
    try:
        call()
    except Exception:
        return True
    return False


def test_who_holds_a_claim_beside_kubernetes_is_named(world: World) -> None:
    world.apply()
    world.reconcile()
    (claim,) = [body for (kind, _, _), body in world.api.objects.items() if kind == CLAIMS]
    claim["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection", "backup.example.com/snapshot"]
    with world.holding_claims(), pytest.raises(ClaimInUseError, match=r"held by backup\.example\.com/snapshot"):
        world.finalize()
    assert world.live.is_dir()
