"""What the manager for clusters does beyond the contract: waiting, answers that are errors, states of a resource."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.errors import KubernetesError
from metrics_storage.model.conditions import Condition
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    GetMetricsStorageError,
    KubernetesStorageManager,
    MetricsStorage,
    QuarantineMetricsStorageError,
)
from tests.contract.suite import names
from tests.unit.storage.cluster import ANNOTATION, NOW, ApiServer, Object, conditions, failure

READY = Condition("Ready", True, "Provisioned", "the directory exists and its claim is bound")
CONFLICT = Condition("Stalled", True, "ClaimConflict", "claim runners/runner-0 exists and is not ours")
UNAVAILABLE = Condition("Stalled", True, "VolumeUnavailable", "the quarantine volume is not mounted")
ARCHIVED = Condition("Quarantined", True, "Quarantined", "the archive is committed and verified")
COLLECTION = "/apis/metricsstorage.dev/v1/namespaces/runners/metricsstorages"


class ScriptedOperator:
    """An operator that gives each new resource the next status, and lets resources go as it is told."""

    def __init__(self) -> None:
        self.on_create: list[Object] = []
        self.on_annotation: list[Object] = []
        self.on_delete: list[Object] = []
        self.releases = True

    def __call__(self, body: Object) -> bool:
        metadata = body["metadata"]
        if "deletionTimestamp" in metadata:
            body["status"] = self.on_delete.pop(0) if self.on_delete else body.get("status", {})
            return self.releases
        script = self.on_annotation if "annotations" in metadata else self.on_create
        if script:
            body["status"] = script.pop(0)
        return False


def status(*given: Condition, generation: int = 1, path: str | None = "/srv/runner-0", **fields: object) -> Object:
    found: Object = {"conditions": conditions(*given, generation=generation), **fields}
    return found | ({"path": path} if path else {})


@pytest.fixture
def operator() -> ScriptedOperator:
    return ScriptedOperator()


@pytest.fixture
def api(operator: ScriptedOperator) -> Iterator[ApiServer]:
    with ApiServer(operator) as api:
        yield api


@pytest.fixture
def manager(api: ApiServer, tmp_path: Path) -> Iterator[KubernetesStorageManager]:
    with KubernetesStorageManager("runners", api.write_kubeconfig(tmp_path / "kubeconfig"), timeout=0.3) as manager:
        yield manager


# Creation


def test_a_storage_is_where_its_status_says(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    operator.on_create = [status(READY)]
    assert manager.create("runner-0") == MetricsStorage(Path("/srv/runner-0"), "runner-0")
    assert api.objects["runner-0"]["spec"] == {}
    assert api.requests == [f"POST {COLLECTION}", f"GET {COLLECTION}/runner-0"]


def test_a_storage_can_be_where_this_process_has_it_mounted(
    api: ApiServer, operator: ScriptedOperator, tmp_path: Path
) -> None:
    operator.on_create = [status(READY)]
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    with KubernetesStorageManager("runners", kubeconfig, mount_path="/mnt/metrics") as manager:
        created = manager.create("runner-0")
    uid = api.objects["runner-0"]["metadata"]["uid"]
    assert created.path == Path(f"/mnt/metrics/runners/runner-0_{uid}")


def test_the_spec_of_new_storages_can_be_given(api: ApiServer, operator: ScriptedOperator, tmp_path: Path) -> None:
    operator.on_create = [status(READY)]
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    with KubernetesStorageManager("runners", kubeconfig, spec={"deletionPolicy": "Quarantine"}) as manager:
        manager.create("runner-0")
    assert api.objects["runner-0"]["spec"] == {"deletionPolicy": "Quarantine"}


def test_ready_about_an_older_spec_does_not_count(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    operator.on_create = [status(READY, generation=0)]
    with pytest.raises(CreateMetricsStorageError, match=r"not Ready after 0.3 s"):
        manager.create("runner-0")


def test_a_stalled_creation_says_why_at_once_and_is_withdrawn(
    api: ApiServer, operator: ScriptedOperator, tmp_path: Path
) -> None:
    operator.on_create = [status(CONFLICT, path=None)]
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    with (
        KubernetesStorageManager("runners", kubeconfig, timeout=60) as manager,
        pytest.raises(CreateMetricsStorageError, match=r"is not ours \(its resource was deleted again\)"),
    ):
        manager.create("runner-0")
    assert api.objects == {}


def test_without_operator_creation_says_so_and_is_withdrawn(api: ApiServer, manager: KubernetesStorageManager) -> None:
    with pytest.raises(CreateMetricsStorageError, match="is it running, and does it watch this namespace"):
        manager.create("runner-0")
    assert api.objects == {}


def test_a_creation_that_cannot_be_withdrawn_says_what_is_left(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager
) -> None:
    operator.on_create = [status(CONFLICT, path=None)]
    # After the creation and one look, the deletion.
    _fail_after(api, 2, 403, failure("Forbidden", "may not delete"))
    with pytest.raises(CreateMetricsStorageError, match=r"\(its resource is left behind: DELETE .* may not delete\)"):
        manager.create("runner-0")
    assert list(api.objects) == ["runner-0"]


def test_a_storage_that_somebody_deletes_meanwhile_is_not_waited_for(
    api: ApiServer, manager: KubernetesStorageManager
) -> None:
    _fail_after(api, 1, 404, failure("NotFound", "not found"))
    with pytest.raises(CreateMetricsStorageError, match="somebody deleted it"):
        manager.create("runner-0")


def test_a_namespace_that_is_being_deleted_is_not_taken_for_a_storage_that_exists(
    api: ApiServer, manager: KubernetesStorageManager
) -> None:
    api.failures = [(409, failure("Conflict", "namespace runners is being terminated"))]
    with pytest.raises(CreateMetricsStorageError, match="is being terminated"):
        manager.create("runner-0")


@pytest.mark.parametrize("code", [429, 500, 503])
def test_waiting_outlasts_a_passing_failure(
    api: ApiServer, operator: ScriptedOperator, manager: KubernetesStorageManager, code: int
) -> None:
    operator.on_create = [status(READY)]
    _fail_after(api, 1, code, failure("ServiceUnavailable", "try again"))
    assert manager.create("runner-0").runner_name == "runner-0"


def test_waiting_ends_at_a_refusal(api: ApiServer, manager: KubernetesStorageManager) -> None:
    _fail_after(api, 1, 403, failure("Forbidden", "may not get metricsstorages"))
    with pytest.raises(CreateMetricsStorageError, match="may not get metricsstorages"):
        manager.create("runner-0")


def test_a_name_never_reaches_the_api_server_unchecked(api: ApiServer, manager: KubernetesStorageManager) -> None:
    with pytest.raises(GetMetricsStorageError, match="is not an RFC 1123 subdomain"):
        manager.get("runner-0/status")
    assert api.requests == []


# Reading


def test_all_pages_are_listed(api: ApiServer, manager: KubernetesStorageManager) -> None:
    api.page_size = 3
    for number in range(8):
        api.add(f"runner-{number}", status(READY))
    assert names(manager) == [f"runner-{number}" for number in range(8)]
    assert api.requests == [f"GET {COLLECTION}"] * 3


OUT_OF_SERVICE: dict[str, tuple[Object, Object]] = {
    "not-provisioned": ({}, {}),
    "being-deleted": (status(READY), {"deletionTimestamp": NOW}),
    "quarantine-requested": (status(READY), {"annotations": {ANNOTATION: "suspicious"}}),
    "quarantine-latched": (status(READY, quarantine={"reason": "suspicious", "requestedAt": NOW}), {}),
}


@pytest.mark.parametrize(("found", "metadata"), OUT_OF_SERVICE.values(), ids=OUT_OF_SERVICE.keys())
def test_what_is_out_of_service_does_not_exist(
    api: ApiServer, manager: KubernetesStorageManager, found: Object, metadata: Object
) -> None:
    api.add("runner-0", found, **metadata)
    assert names(manager) == []
    with pytest.raises(GetMetricsStorageError, match="is not in service"):
        manager.get("runner-0")
    with pytest.raises(CreateMetricsStorageError, match="exists already"):
        manager.create("runner-0")


def test_a_blank_annotation_is_a_request_and_an_empty_one_is_none(
    api: ApiServer, manager: KubernetesStorageManager
) -> None:
    api.add("runner-0", status(READY), annotations={ANNOTATION: ""})
    api.add("runner-1", status(READY), annotations={ANNOTATION: " "})
    assert names(manager) == ["runner-0"]


def test_an_answer_that_is_no_json_is_an_error(api: ApiServer, manager: KubernetesStorageManager) -> None:
    api.failures = [(500, failure("InternalError", "etcd is gone"))]
    with pytest.raises(GetMetricsStorageError, match="500 etcd is gone"):
        manager.list_all()


def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    api = ApiServer()
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    with api:
        pass
    with (
        KubernetesStorageManager("runners", kubeconfig) as manager,
        pytest.raises(GetMetricsStorageError, match="refused"),
    ):
        manager.get("runner-0")


def test_a_missing_kubeconfig_is_said(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="no cluster is configured"):
        KubernetesStorageManager("runners", tmp_path / "missing")


# Deletion


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


# Quarantine


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
    _fail_after(api, 2, 404, failure("NotFound", "not found"))
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


def _fail_after(api: ApiServer, requests: int, code: int, body: Object) -> None:
    """Answer as usual so many times, and then once with a failure."""
    api.let_pass = requests
    api.failures = [(code, body)]
