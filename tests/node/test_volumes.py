"""The disk of the quarantine volume is replaced: nothing starts by itself, and what the README says helps."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tools.cluster import Cluster
from tools.cluster.handle import find_kubectl
from tools.cluster.local import LocalCluster
from tools.installation.deployment import ROOT, Operator
from tools.installation.runners import Runners
from tools.waiting import eventually

_MARKER: Final = ".metrics-storage/volume.json"


@pytest.fixture
def quarantine_disk(cluster: Cluster, operator: Operator) -> Path:
    """The directory on the node that is the quarantine volume."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"the disks of nodes of {cluster.provider} are out of reach")
    (disk,) = (
        marker.parents[1]
        for marker in cluster.nodes[0].var_lib.glob(f"disk-*/{_MARKER}")
        if '"quarantine"' in marker.read_text()
    )
    assert operator.installed
    return disk


def commands_of_the_readme() -> str:
    """The shell commands that mark a new volume."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (found,) = (block for block in blocks if "init-volume" in block)
    return str(found)


def test_a_replaced_quarantine_disk_is_used_once_a_person_has_marked_it(
    runners: Runners, operator: Operator, cluster: Cluster, quarantine_disk: Path
) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    old = quarantine_disk.with_name("replaced")
    old.mkdir()
    for entry in quarantine_disk.iterdir():
        entry.rename(old / entry.name)
    operator.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=metrics-storage-operator")
    eventually(lambda: operator.restarts() > 0, seconds=120, what="the operator refuses the empty disk")
    assert not list(quarantine_disk.iterdir())

    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{Path(find_kubectl()).parent}:{os.environ['PATH']}",
    }
    shell = ["bash", "-euxc", commands_of_the_readme()]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "is quarantine volume" in done.stdout
    operator.wait_rolled_out()
    runners.quarantine("runner-0")
    runners.wait_condition("runner-0", "Quarantined", seconds=60)
    (archive,) = operator.final_archives(runners.namespace)
    operator.verify([archive])
