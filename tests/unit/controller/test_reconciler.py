"""What the reconciler does whatever fails: the directory goes last, and only when everything said so."""

import asyncio
import copy
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from metrics_storage.constants import FINALIZER
from metrics_storage.controller import attempts
from metrics_storage.controller.events import Events
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.site import Site
from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import (
    ClaimInUseError,
    KubernetesError,
    MetricsStorageError,
    PersistentlyUncleanError,
    VolumeFullError,
)
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.resources import CLAIMS, EVENTS, STORAGES, VOLUMES, Resource
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.model.identity import Identity, Uid
from tests.unit.controller.fake_api import FakeApi, Object

UID = Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")
OWNER = {"directory": {"owner": f"{os.getuid()}:{os.getgid()}"}}


@dataclass
class World:
    """A reconciler between a fake API server and a real engine on real directories."""

    api: FakeApi
    reconciler: Reconciler
    root: Path
    engine: StorageEngine

    def apply(self, spec: Object | None = None, reason: str = "") -> None:
        """Put the MetricsStorage there, or change it."""
        self.api.objects.pop((STORAGES, "runners", "runner-0"), None)
        annotations = {"metricsstorage.dev/quarantine": reason} if reason else {}
        metadata = {"name": "runner-0", "namespace": "runners", "uid": UID, "generation": 1, "annotations": annotations}
        self.api.add(STORAGES, {"metadata": metadata, "spec": {**OWNER, **(spec or {})}}, "runners")

    def condemn(self) -> None:
        """What a deletion does that is interrupted right after it decided."""
        self.engine.condemn(Identity("runners", "runner-0", UID))

    @contextmanager
    def holding_claims(self) -> Iterator[None]:
        """Pods use every claim, and nobody waits long for them to end."""
        self.api.held = True
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("metrics_storage.controller.reconciler._CLAIM_TIMEOUT", 0.05)
            yield
        self.api.held = False

    @contextmanager
    def recorded_writes(self) -> Iterator[list[tuple[str, Resource]]]:
        """Verb and resource of every request that changes something."""
        writes: list[tuple[str, Resource]] = []

        def note(verb: str, resource: Resource) -> None:
            if verb not in ("get", "list"):
                writes.append((verb, resource))

        self.api.before = note
        yield writes
        self.api.before = lambda _verb, _resource: None

    @property
    def body(self) -> Object:
        return self.api.storage("runner-0")

    def events(self, reason: str) -> list[Object]:
        """The events that were written with a reason."""
        return [body for (kind, _, _), body in self.api.objects.items() if kind == EVENTS and body["reason"] == reason]

    @property
    def live(self) -> Path:
        return self.root / "storage" / "runners" / f"runner-0_{UID}"

    @property
    def archives(self) -> list[Path]:
        return list((self.root / "quarantine").glob("*/*.tar.gz"))

    def reconcile(self) -> None:
        asyncio.run(self.reconciler.reconcile(self.body))

    def finalize(self) -> None:
        self.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        asyncio.run(self.reconciler.finalize(self.body))

    def reason(self, kind: str) -> str | None:
        """Reason of a condition, None where it is absent."""
        conditions = self.body.get("status", {}).get("conditions", ())
        return next((entry["reason"] for entry in conditions if entry["type"] == kind), None)


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
        disk = StorageEngine(storage, quarantine)
        engine = LocalEngine(disk, workers=2, archive_workers=1)
        site = Site(engine, storage.id, VolumeTemplate("hostPath", "/srv"))
        claims = Claims(api, DeletionWaiter(api), site.template, site.volume_id)
        yield World(fake, Reconciler(api, site, claims, Events(api)), tmp_path, disk)
        engine.close()


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
        patch.setattr(Archiver, "_check_room", refuse)
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


def test_a_copied_status_does_not_make_a_loss_a_new_beginning(world: World) -> None:
    world.apply()
    world.body["status"] = {"path": "/srv/somewhere"}
    with pytest.raises(MetricsStorageError, match="metrics-storage accept-loss"):
        world.reconcile()
    assert not world.live.exists()


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

    monkeypatch.setattr(world.reconciler._engine, "condemn", fail)
    with pytest.raises(PersistentlyUncleanError):
        world.finalize()
    asyncio.run(world.reconciler.conclude(world.body))
    assert len(attempts) == 1


def test_what_kopf_has_not_taken_yet_is_left_to_it(world: World) -> None:
    world.apply()
    look_after(world, world.body)
    assert not world.live.exists()


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


OTHER_UID = Uid("7a1de1a2-0c6f-4a0c-8a36-0a8f6a1f9b22")


def restored(world: World, status: Object) -> None:
    """Put a MetricsStorage there as a backup tool does: with the status of another life."""
    world.apply()
    world.body["status"] = status


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"uid": OTHER_UID}, id="by its uid"),
        pytest.param({"volumeName": f"ms-{OTHER_UID}"}, id="by its volume"),
        pytest.param({"path": f"/srv/runners/runner-0_{OTHER_UID}"}, id="by its directory"),
    ],
)
def test_a_status_of_another_life_is_replaced_and_the_directory_made_anew(world: World, told: Object) -> None:
    quarantine = {"reason": "not JSON", "requestedAt": "2025-01-01T00:00:00Z", "archive": "runners/old_1.tar.gz"}
    old = {"type": "Quarantined", "status": "True", "reason": "Quarantined", "message": "old", "observedGeneration": 1}
    restored(world, {**told, "phase": "Quarantined", "quarantine": quarantine, "conditions": [old]})

    world.reconcile()

    assert world.live.is_dir()
    assert world.reason("Ready") == "Provisioned"
    assert world.reason("Quarantined") is None
    assert world.body["status"]["uid"] == UID
    assert "quarantine" not in world.body["status"]
    world.finalize()
    assert not world.archives


def test_a_status_of_another_life_does_not_make_a_directory_vanished(world: World) -> None:
    restored(world, {"uid": OTHER_UID, "path": f"/srv/runners/runner-0_{OTHER_UID}", "phase": "Ready"})

    world.finalize()

    assert not world.live.exists()


def test_a_lost_journal_entry_is_still_noticed_by_its_own_status(world: World) -> None:
    restored(world, {"uid": UID, "path": f"/srv/runners/runner-0_{UID}", "phase": "Ready"})

    with pytest.raises(MetricsStorageError, match="is not on storage volume"):
        world.reconcile()


def refusing(verb: str, resource: Resource, status: int = 403) -> Callable[[str, Resource], None]:
    """An API server that refuses one kind of request for good, in its own words."""

    def refuse(asked: str, about: Resource) -> None:
        if (asked, about) == (verb, resource):
            raise KubernetesError(f"{verb} refused: maximum storage usage per PersistentVolumeClaim is 1Gi", status)

    return refuse


@pytest.mark.parametrize("status", [400, 403, 405, 413, 422])
def test_what_is_refused_again_and_again_calls_a_person_once_and_is_tried_again(world: World, status: int) -> None:
    world.apply()
    world.api.before = refusing("create", CLAIMS, status)
    reasons = []
    for _ in range(4):
        with pytest.raises(KubernetesError):
            world.reconcile()
        reasons.append((world.reason("Ready"), world.reason("Stalled")))
    temporary, stalled = ("TemporaryError", None), ("RequestRefused", "RequestRefused")
    assert reasons == [temporary, temporary, stalled, stalled]
    (told,) = [each["message"] for each in world.body["status"]["conditions"] if each["type"] == "Stalled"]
    assert "maximum storage usage per PersistentVolumeClaim is 1Gi" in told
    assert len(world.events("RequestRefused")) == 1
    world.api.before = lambda _verb, _resource: None
    world.reconcile()
    assert (world.reason("Ready"), world.reason("Stalled")) == ("Provisioned", None)


@pytest.mark.parametrize("status", [None, 401, 429, 500, 503])
def test_what_the_next_attempt_may_not_meet_calls_nobody(world: World, status: int) -> None:
    world.apply()
    world.api.before = refusing("create", CLAIMS, status)
    for _ in range(5):
        with pytest.raises(KubernetesError):
            world.reconcile()
    assert (world.reason("Ready"), world.reason("Stalled")) == ("TemporaryError", None)


def test_a_person_who_was_called_for_a_refusal_stays_called_over_a_restart(world: World) -> None:
    world.apply()
    world.api.before = refusing("create", CLAIMS)
    for _ in range(3):
        with pytest.raises(KubernetesError):
            world.reconcile()
    world.reconciler._refusals.forget(UID)
    with pytest.raises(KubernetesError):
        world.reconcile()
    assert world.reason("Stalled") == "RequestRefused"


def test_a_finalizer_that_a_policy_refuses_to_change_is_named_in_the_status(world: World) -> None:
    for act in (world.reconciler.take_over, world.reconciler.conclude):
        world.apply()
        if act == world.reconciler.conclude:
            world.reconcile()
            world.body["metadata"] |= {
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": [FINALIZER, "example.com/other"],
            }
        world.api.before = refusing("patch", STORAGES)
        for _ in range(3):
            with pytest.raises(KubernetesError):
                asyncio.run(act(world.body))
            world.reconciler._attempts._not_before.clear()
        assert world.reason("Stalled") == "RequestRefused"
        world.api.before = lambda _verb, _resource: None
        asyncio.run(act(world.body))
        kept = ["example.com/other"] if act == world.reconciler.conclude else [FINALIZER]
        assert world.body["metadata"]["finalizers"] == kept


def test_who_holds_a_claim_beside_kubernetes_is_named(world: World) -> None:
    world.apply()
    world.reconcile()
    (claim,) = [body for (kind, _, _), body in world.api.objects.items() if kind == CLAIMS]
    claim["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection", "backup.example.com/snapshot"]
    with world.holding_claims(), pytest.raises(ClaimInUseError, match=r"held by backup\.example\.com/snapshot"):
        world.finalize()
    assert world.live.is_dir()


def test_a_volume_that_lost_its_labels_gets_them_back_and_goes_with_its_storage(world: World) -> None:
    def volume() -> Object:
        (found,) = [body for (kind, _, _), body in world.api.objects.items() if kind == VOLUMES]
        return found

    world.apply()
    world.reconcile()
    labels = volume()["metadata"].pop("labels")
    world.reconcile()
    assert volume()["metadata"]["labels"] == labels
    assert "had lost its labels" in world.events("Repaired")[0]["message"]
    volume()["metadata"].pop("labels")
    world.finalize()
    assert not [kind for kind, _, _ in world.api.objects if kind == VOLUMES]
    assert not world.live.exists()


def test_a_volume_of_the_name_that_points_elsewhere_is_not_ours(world: World) -> None:
    world.apply()
    world.reconcile()
    (volume,) = [body for (kind, _, _), body in world.api.objects.items() if kind == VOLUMES]
    volume["metadata"].pop("labels")
    volume["spec"]["hostPath"]["path"] = "/elsewhere"
    world.finalize()
    assert [kind for kind, _, _ in world.api.objects if kind == VOLUMES]
