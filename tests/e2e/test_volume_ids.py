"""In a cluster without any storage, what is not mounted is still told from what is new."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.cluster import Cluster
from tools.installation.process import OperatorProcess
from tools.waiting import eventually

IDS = "metrics-storage-volume-ids"


@pytest.fixture
def site(cluster: Cluster, operator_kubeconfig: Path, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that remembers its volumes in its own namespace; it does not run yet."""
    flags = ("--sweep-interval=1", "--operator-namespace=metrics-storage")
    operator = OperatorProcess(operator_kubeconfig, tmp_path, flags)
    yield operator
    operator.stop()
    cluster.kubectl("-n", "metrics-storage", "delete", "configmap", IDS, "--ignore-not-found")


def unmount(operator: OperatorProcess) -> None:
    """Leave both mount points empty."""
    for root in (operator.storage_root, operator.quarantine_root):
        root.rename(root.with_suffix(".disk"))
        root.mkdir()


def mount(operator: OperatorProcess) -> None:
    """Undo `unmount`."""
    for root in (operator.storage_root, operator.quarantine_root):
        root.rmdir()
        root.with_suffix(".disk").rename(root)


def test_both_mounts_missing_in_an_empty_cluster_are_no_new_volumes(cluster: Cluster, site: OperatorProcess) -> None:
    site.start()
    site.stop()
    unmount(site)
    site.start(wait=False)
    eventually(lambda: not site.running, seconds=30, what="the operator refuses to start")
    assert "is it mounted?" in site.log
    assert not [*site.storage_root.iterdir(), *site.quarantine_root.iterdir()]
    mount(site)
    site.start()
    site.stop()
    unmount(site)
    cluster.kubectl("-n", "metrics-storage", "delete", "configmap", IDS)
    site.start()


def test_two_other_volumes_are_refused_until_a_person_gives_up_the_remembered_ones(
    cluster: Cluster, site: OperatorProcess, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    other = OperatorProcess(operator_kubeconfig, tmp_path / "other", site.flags[:1])
    other.start()
    other.stop()
    site.start()
    site.stop()
    other.flags = site.flags
    other.start(wait=False)
    eventually(lambda: not other.running, seconds=30, what="the operator refuses to start")
    assert f"kubectl delete configmap -n metrics-storage {IDS}" in other.log
    cluster.kubectl("-n", "metrics-storage", "delete", "configmap", IDS)
    other.start()
    other.stop()
