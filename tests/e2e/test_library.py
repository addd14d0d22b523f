"""The library against a real API server and a running operator: the contract, and what only a cluster has."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage import storage
from metrics_storage.storage import (
    CreateMetricsStorageError,
    GetMetricsStorageError,
    KubernetesStorageManager,
    StorageManager,
)
from tests.contract.suite import StorageManagerContract, archives, names
from tools.cluster import Cluster
from tools.installation.process import OperatorProcess
from tools.installation.runners import Runners


@pytest.fixture
def manager(cluster: Cluster, operator: OperatorProcess, namespace: str) -> Iterator[KubernetesStorageManager]:
    """A manager of a fresh namespace, with an operator that watches it."""
    if not operator.running:
        operator.start()
    with KubernetesStorageManager(namespace, cluster.kubeconfig, cluster.context, timeout=30) as manager:
        yield manager


class TestContract(StorageManagerContract):
    @pytest.fixture
    def quarantine_root(self, operator: OperatorProcess) -> Path:
        return operator.quarantine_root

    @pytest.fixture
    def manager(self, manager: KubernetesStorageManager) -> StorageManager:
        """That of this module."""
        return manager


def test_a_created_storage_can_be_mounted_at_once(manager: KubernetesStorageManager, runners: Runners) -> None:
    created = manager.create("runner-0")
    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    assert claim["status"]["phase"] == "Bound"
    assert runners.storage("runner-0")["status"]["path"] == str(created.path)


def test_a_path_can_be_that_of_a_mount_of_this_process(
    cluster: Cluster, operator: OperatorProcess, runners: Runners
) -> None:
    with KubernetesStorageManager(
        runners.namespace, cluster.kubeconfig, cluster.context, mount_path=operator.storage_root
    ) as manager:
        assert manager.create("runner-0").path.is_dir()


def test_the_spec_of_new_storages_can_be_given(cluster: Cluster, runners: Runners) -> None:
    spec = {"capacity": "2Gi", "directory": {"mode": "0700"}}
    with KubernetesStorageManager(runners.namespace, cluster.kubeconfig, cluster.context, spec=spec) as manager:
        created = manager.create("runner-0")
    assert created.path.stat().st_mode & 0o7777 == 0o700
    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_a_creation_that_stalls_says_why_and_leaves_nothing(
    manager: KubernetesStorageManager, runners: Runners
) -> None:
    runners.apply_objects(
        [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "runner-0", "namespace": runners.namespace},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ]
    )
    with pytest.raises(CreateMetricsStorageError, match="is not this MetricsStorage's"):
        manager.create("runner-0")
    runners.wait_gone("runner-0")
    assert runners.get("pvc", "runner-0") is not None
    runners.kubectl("delete", "pvc", "runner-0", "--wait=false")


def test_a_creation_without_operator_says_so_and_leaves_nothing(
    cluster: Cluster, operator: OperatorProcess, runners: Runners
) -> None:
    operator.stop()
    with (
        KubernetesStorageManager(runners.namespace, cluster.kubeconfig, cluster.context, timeout=0.5) as manager,
        pytest.raises(CreateMetricsStorageError, match="the operator has not looked at it yet"),
    ):
        manager.create("runner-0")
    assert runners.get("mstor", "runner-0") is None


def test_what_is_quarantined_by_hand_is_not_listed_and_its_record_can_be_deleted(
    manager: KubernetesStorageManager, runners: Runners
) -> None:
    manager.create("runner-0")
    runners.quarantine("runner-0")
    assert names(manager) == []
    with pytest.raises(GetMetricsStorageError, match="is not in service: in quarantine"):
        manager.get("runner-0")
    runners.wait_condition("runner-0", "Stalled", reason="Quarantined")
    manager.delete("runner-0")
    assert runners.get("mstor", "runner-0") is None


def test_deleting_while_a_quarantine_runs_waits_for_the_archive(
    manager: KubernetesStorageManager, runners: Runners, operator: OperatorProcess
) -> None:
    before = len(archives(operator.quarantine_root))
    manager.create("runner-0")
    runners.quarantine("runner-0")
    manager.delete("runner-0")
    assert len(archives(operator.quarantine_root)) == before + 1


def test_the_reason_of_a_quarantine_is_in_the_manifest(
    manager: KubernetesStorageManager, operator: OperatorProcess
) -> None:
    before = set(archives(operator.quarantine_root))
    manager.create("runner-0")
    manager.move_to_quarantine("runner-0", "job.log has 3 GiB")
    [archive] = set(archives(operator.quarantine_root)) - before
    manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
    assert '"reason":"job.log has 3 GiB"' in manifest.read_text().splitlines()[0]


def test_threads_share_a_manager(manager: KubernetesStorageManager) -> None:
    problems: list[Exception] = []

    def live(number: int) -> None:
        try:
            created = manager.create(f"runner-{number}")
            (created.path / "metrics.json").write_text("{}")
            if number % 2:
                storage.move_to_quarantine(manager, created.runner_name)
            else:
                manager.delete(created.runner_name)
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert names(manager) == []
