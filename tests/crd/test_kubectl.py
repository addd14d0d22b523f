"""What a person sees of the definition with kubectl, on whatever cluster the tests run."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tools.cluster.handle import Cluster
from tools.installation.definition import wait_established

DEFINITION: Final = Path(__file__).parents[2] / "crds" / "metricsstorage.yaml"
NAMESPACE: Final = "definition-seen-by-kubectl"
PUBLISHED_SECONDS: Final = 30.0

STATUS: Final[dict[str, Any]] = {
    "observedGeneration": 1,
    "phase": "Quarantined",
    "nodeName": "worker-1",
    "usage": {"bytes": 734003200, "files": 3},
    "quarantine": {"reason": "not JSON", "archive": "runners/runner-0_1.tar.gz"},
    "conditions": [
        {
            "type": kind,
            "status": status,
            "reason": "Quarantined",
            "message": "the directory is archived",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
        for kind, status in (("Ready", "False"), ("Stalled", "True"))
    ],
}


@pytest.fixture(scope="module")
def kubectl_cluster(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with the definition and one MetricsStorage in quarantine."""
    # A server before 1.27 has some of these fields in no schema, and kubectl would refuse to send them.
    cluster.kubectl("apply", "--validate=false", "-f", str(DEFINITION))
    wait_established(cluster)
    for manifest in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "metricsstorage.dev/v1",
            "kind": "MetricsStorage",
            "metadata": {"name": "runner-0", "namespace": NAMESPACE},
        },
    ):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl(
        "-n",
        NAMESPACE,
        "patch",
        "metricsstorages.metricsstorage.dev/runner-0",
        "--subresource=status",
        "--type=merge",
        "--patch",
        json.dumps({"status": STATUS}),
    )
    yield cluster
    # An operator that another test starts would take care of it, and the next one would look for its volume.
    cluster.kubectl("-n", NAMESPACE, "delete", "mstor", "--all")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_listing_shows_the_seven_columns(kubectl_cluster: Cluster) -> None:
    header, row = kubectl_cluster.kubectl("-n", NAMESPACE, "get", "mstor").stdout.splitlines()

    assert header.split() == ["NAME", "READY", "PHASE", "CAPACITY", "USED", "NODE", "QUARANTINE", "AGE"]
    assert row.split()[:-1] == ["runner-0", "False", "Quarantined", "1Gi", "734003200", "worker-1", "not", "JSON"]


def test_a_wide_listing_adds_the_policy_the_problem_and_the_archive(kubectl_cluster: Cluster) -> None:
    header, row = kubectl_cluster.kubectl("-n", NAMESPACE, "get", "mstor", "-o", "wide").stdout.splitlines()

    assert header.split()[-3:] == ["POLICY", "STALLED", "ARCHIVE"]
    assert row.split()[-3:] == ["Delete", "Quarantined", "runners/runner-0_1.tar.gz"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        pytest.param("spec.capacity", "must be more than zero", id="capacity"),
        pytest.param("spec.directory.mode", "in quotes", id="mode"),
        pytest.param("status.quarantine.sha256", "digest of the archive", id="digest"),
    ],
)
def test_explain_is_the_documentation_of_a_field(kubectl_cluster: Cluster, field: str, words: str) -> None:
    # The schema for clients is published a moment after the definition is served.
    end = time.monotonic() + PUBLISHED_SECONDS
    while True:
        said = kubectl_cluster.kubectl("explain", f"metricsstorages.{field}", check=False)
        if said.returncode == 0 or time.monotonic() > end:
            break
        time.sleep(0.5)

    assert words in " ".join(said.stdout.split()), said.stderr
