"""A status or a volume that another life left, as backups and copies bring them."""

import pytest

from metrics_storage.errors import (
    MetricsStorageError,
)
from metrics_storage.kube.resources import VOLUMES
from metrics_storage.model.identity import Uid
from tests.unit.controller.fake_api import Object
from tests.unit.controller.world import UID, World

OTHER_UID = Uid("7a1de1a2-0c6f-4a0c-8a36-0a8f6a1f9b22")


def test_a_copied_status_does_not_make_a_loss_a_new_beginning(world: World) -> None:
    world.apply()
    world.body["status"] = {"path": "/srv/somewhere"}
    with pytest.raises(MetricsStorageError, match="metrics-storage accept-loss"):
        world.reconcile()
    assert not world.live.exists()


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
