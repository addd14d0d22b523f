"""The objects that the operator makes."""

from typing import Any

import pytest

from metrics_storage.kube.builders import belongs_to, build_claim, build_event, build_volume
from metrics_storage.kube.claims import claim_state
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.kube.volumes import is_bound, volume_state
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec, VolumeBindingMode

Object = dict[str, Any]
AT_ONCE = VolumeBindingMode.IMMEDIATE
IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
OTHER = Identity("runners", "runner-0", Uid("1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))


def test_a_claim_names_no_volume_so_that_it_is_bound_at_once() -> None:
    assert "volumeName" not in build_claim(IDENTITY, StorageSpec(), AT_ONCE)["spec"]


def test_a_claim_that_waits_for_a_consumer_has_a_class_and_a_label_of_its_own() -> None:
    at_once, waiting = (build_claim(IDENTITY, StorageSpec(), mode) for mode in VolumeBindingMode)
    assert at_once["spec"]["storageClassName"] == "metrics-storage"
    assert waiting["spec"]["storageClassName"] == "metrics-storage-wait-for-first-consumer"
    label = {"metricsstorage.dev/volume-binding-mode": "WaitForFirstConsumer"}
    assert waiting["metadata"]["labels"] == at_once["metadata"]["labels"] | label


def test_a_claim_belongs_to_the_uid_and_not_to_the_name() -> None:
    claim = build_claim(IDENTITY, StorageSpec(), AT_ONCE)
    assert belongs_to(claim, IDENTITY)
    assert not belongs_to(claim, OTHER)


def test_a_volume_is_kept_by_kubernetes_and_reserved_for_the_uid_of_its_claim() -> None:
    claim = {"metadata": {"uid": "claim-uid"}, "spec": {"storageClassName": "theirs"}}
    volume = build_volume(IDENTITY, StorageSpec(), VolumeTemplate("hostPath", "/srv"), claim, "volume-id")
    assert volume["spec"]["storageClassName"] == "theirs"
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["claimRef"]["uid"] == "claim-uid"
    assert volume["spec"]["hostPath"]["path"] == f"/srv/runners/runner-0_{IDENTITY.uid}"
    assert volume["metadata"]["name"] == f"ms-{IDENTITY.uid}"
    assert volume["metadata"]["labels"]["metricsstorage.dev/volume-id"] == "volume-id"


@pytest.mark.parametrize("mode", VolumeBindingMode)
def test_labels_hold_nothing_longer_than_kubernetes_takes(mode: VolumeBindingMode) -> None:
    long = Identity("runners", "n" * 253, IDENTITY.uid)
    assert all(len(value) <= 63 for value in build_claim(long, StorageSpec(), mode)["metadata"]["labels"].values())


def test_a_long_event_message_is_cut_at_a_character() -> None:
    event = build_event(IDENTITY, normal=True, reason="R", message="ä" * 600, now="t", instance="i")
    assert event["message"] == "ä" * 512


def test_bound_means_that_both_name_each_other() -> None:
    claim: Object = {"metadata": {"uid": "c"}, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}}
    volume: Object = {"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": "c"}}, "status": {"phase": "Bound"}}

    def bound(claim: Object, volume: Object) -> bool:
        return is_bound(claim_state(claim), volume_state(volume))

    assert bound(claim, volume)
    assert not is_bound(claim_state(claim), None)
    assert not bound({**claim, "status": {"phase": "Lost"}}, volume)
    assert not bound(claim, {**volume, "spec": {"claimRef": {"uid": "other"}}})
    assert not bound(claim, {**volume, "metadata": {"name": "v", "deletionTimestamp": "t"}})
