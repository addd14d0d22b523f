"""What the manager for clusters does beyond the contract: waiting, answers that are errors, states of a resource."""

from pathlib import Path

import pytest

from metrics_storage.errors import KubernetesError
from metrics_storage.storage import (
    CreateMetricsStorageError,
    GetMetricsStorageError,
    KubernetesStorageManager,
    MetricsStorage,
)
from tests.contract.suite import names
from tests.unit.storage.cluster import ANNOTATION, NOW, ApiServer, Object, failure
from tests.unit.storage.kubernetes.scripted import COLLECTION, CONFLICT, READY, ScriptedOperator, fail_after, status


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
    fail_after(api, 2, 403, failure("Forbidden", "may not delete"))
    with pytest.raises(CreateMetricsStorageError, match=r"\(its resource is left behind: DELETE .* may not delete\)"):
        manager.create("runner-0")
    assert list(api.objects) == ["runner-0"]


def test_a_storage_that_somebody_deletes_meanwhile_is_not_waited_for(
    api: ApiServer, manager: KubernetesStorageManager
) -> None:
    fail_after(api, 1, 404, failure("NotFound", "not found"))
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
    fail_after(api, 1, code, failure("ServiceUnavailable", "try again"))
    assert manager.create("runner-0").runner_name == "runner-0"


def test_waiting_ends_at_a_refusal(api: ApiServer, manager: KubernetesStorageManager) -> None:
    fail_after(api, 1, 403, failure("Forbidden", "may not get metricsstorages"))
    with pytest.raises(CreateMetricsStorageError, match="may not get metricsstorages"):
        manager.create("runner-0")


def test_a_name_never_reaches_the_api_server_unchecked(api: ApiServer, manager: KubernetesStorageManager) -> None:
    with pytest.raises(GetMetricsStorageError, match="is not an RFC 1123 subdomain"):
        manager.get("runner-0/status")
    assert api.requests == []


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


def test_the_environment_may_name_the_kubeconfig_at_any_time(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add("runner-0", status(READY))
    monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "kubeconfig")))
    with KubernetesStorageManager("runners") as manager:
        assert names(manager) == ["runner-0"]


def test_a_missing_kubeconfig_is_said(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="no cluster is configured"):
        KubernetesStorageManager("runners", tmp_path / "missing")
