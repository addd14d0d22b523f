"""Deletion and quarantine as the manager for clusters asks for them, waits for them and reports them."""

from pathlib import Path

import pytest

from metrics_storage.model.conditions import Condition
from metrics_storage.storage import (
    DeleteMetricsStorageError,
    KubernetesStorageManager,
    QuarantineMetricsStorageError,
)
from tests.unit.storage.cluster import ANNOTATION, NOW, ApiServer, Object, failure
from tests.unit.storage.kubernetes.scripted import (
    ARCHIVED,
    CONFLICT,
    READY,
    UNAVAILABLE,
    ScriptedOperator,
    fail_after,
    status,
)


def test_a_deletion_means_this_very_resource(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    api.add("runner-0", status(READY))
    manager.delete("runner-0")
    assert api.objects == {}


def test_a_deletion_that_takes_too_long_says_what_holds_it(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    in_use = Condition("Ready", False, "ClaimInUse", "claim runners/runner-0 is still in use")
    operator.on_delete = [status(in_use, generation=2)]
    operator.releases = False
    api.add("runner-0", status(READY))
    with pytest.raises(DeleteMetricsStorageError, match=r"not gone after 0.3 s: being deleted, ClaimInUse: .* in use"):
        manager.delete("runner-0")


def test_a_deletion_that_was_requested_before_is_waited_for(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    api.add("runner-0", status(READY), deletionTimestamp=NOW, generation=2)
    manager.delete("runner-0")
    assert api.objects == {}


def test_an_older_stall_does_not_end_a_deletion(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    operator.releases = False
    api.add("runner-0", status(CONFLICT))
    with pytest.raises(DeleteMetricsStorageError, match="not gone after"):
        manager.delete("runner-0")


def test_a_stalled_deletion_says_why_at_once(api: ApiServer, operator: ScriptedOperator, tmp_path: Path) -> None:
    operator.on_delete = [status(UNAVAILABLE, generation=2)]
    operator.releases = False
    api.add("runner-0", status(READY))
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    with (
        KubernetesStorageManager("runners", kubeconfig, timeout=60) as manager,
        pytest.raises(DeleteMetricsStorageError, match="VolumeUnavailable: the quarantine volume is not mounted"),
    ):
        manager.delete("runner-0")


def test_quarantine_is_requested_with_its_reason_and_ends_with_the_resource(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    seen: list[Object] = []
    operator.on_annotation = [status(ARCHIVED, quarantine={"reason": "x", "archive": "runners/a.tar.gz"})]
    seen.append(api.add("runner-0", status(READY)))
    manager.move_to_quarantine("runner-0", "3 GiB of logs")
    assert seen[0]["metadata"]["annotations"] == {ANNOTATION: "3 GiB of logs"}
    assert api.objects == {}


def test_a_quarantine_that_was_requested_before_keeps_its_reason(
    api: ApiServer, manager: KubernetesStorageManager
) -> None:
    found = api.add("runner-0", status(ARCHIVED), annotations={ANNOTATION: "the first reason"})
    manager.move_to_quarantine("runner-0", "another one")
    assert found["metadata"]["annotations"] == {ANNOTATION: "the first reason"}
    assert [request.split()[0] for request in api.requests] == ["GET", "DELETE", "GET"]


def test_without_verified_archive_nothing_is_deleted(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    archiving = Condition("Quarantined", False, "Archiving", "the archive is not committed yet")
    operator.on_annotation = [status(archiving, quarantine={"reason": "x"})]
    api.add("runner-0", status(READY))
    with pytest.raises(QuarantineMetricsStorageError, match=r"not archived after 0\.3 s"):
        manager.move_to_quarantine("runner-0")
    assert "deletionTimestamp" not in api.objects["runner-0"]["metadata"]
    assert not any(request.startswith("DELETE") for request in api.requests)


def test_a_stalled_quarantine_says_why_at_once_and_deletes_nothing(
    api: ApiServer, operator: ScriptedOperator, tmp_path: Path
) -> None:
    operator.on_annotation = [status(UNAVAILABLE, quarantine={"reason": "x"})]
    api.add("runner-0", status(READY))
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    with (
        KubernetesStorageManager("runners", kubeconfig, timeout=60) as manager,
        pytest.raises(QuarantineMetricsStorageError, match="VolumeUnavailable"),
    ):
        manager.move_to_quarantine("runner-0")
    assert not any(request.startswith("DELETE") for request in api.requests)


def test_a_resource_that_goes_before_its_archive_was_seen_is_an_error(
    api: ApiServer, manager: KubernetesStorageManager
) -> None:
    api.add("runner-0", status(READY))
    fail_after(api, 2, 404, failure("NotFound", "not found"))
    with pytest.raises(QuarantineMetricsStorageError, match="before it was seen to be archived"):
        manager.move_to_quarantine("runner-0")


def test_an_archived_storage_that_does_not_go_tells_where_its_archive_is(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    operator.on_annotation = [status(ARCHIVED, quarantine={"reason": "x", "archive": "runners/a.tar.gz"})]
    operator.releases = False
    api.add("runner-0", status(READY))
    with pytest.raises(QuarantineMetricsStorageError, match=r"is archived as runners/a\.tar\.gz, but not gone"):
        manager.move_to_quarantine("runner-0")
