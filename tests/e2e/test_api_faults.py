"""The API server fails or its contents are pulled away: nothing is destroyed without its word, all converges."""

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.claims import hold_claim
from tests.e2e.tenant import Account, fate, leave_evidence, provisioned, tenant
from tools.cluster import Cluster
from tools.cluster.local import LocalCluster
from tools.installation.definition import install
from tools.installation.process import OperatorProcess
from tools.installation.runners import Runners
from tools.waiting import eventually

SERVER = "kube-apiserver"
DEFINITION = "metricsstorages.metricsstorage.dev"
FLAG: dict[str, str | None] = {"metricsstorage.dev/quarantine": "flagged"}


@pytest.fixture
def control_plane(cluster: Cluster) -> Iterator[LocalCluster]:
    """A cluster whose API server may be stopped; it runs again at the end."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"the API server of a cluster of kind {cluster.provider} is not ours to stop")
    yield cluster
    cluster.start(SERVER)


def kill(control_plane: LocalCluster) -> None:
    """End the API server without a chance to do anything; returns when it is dead."""
    control_plane.signal(SERVER, signal.SIGKILL)
    control_plane.stop(SERVER)


@pytest.fixture
def attacker(runners: Runners, tmp_path: Path) -> Account:
    """Somebody with the rights of a tenant, and no kubectl that takes its time."""
    return tenant(runners, tmp_path)


@pytest.fixture
def doomed(cluster: Cluster, operator: OperatorProcess) -> Runners:
    """A namespace that a test deletes."""
    if not operator.running:
        operator.start()
    cluster.kubectl("create", "namespace", "doomed")
    return Runners(cluster, "doomed")


def test_a_deletion_waits_while_the_api_server_does_not_answer(
    runners: Runners, operator: OperatorProcess, attacker: Account, control_plane: LocalCluster
) -> None:
    uids = provisioned(attacker, "plain", "flagged")
    for name in uids:
        hold_claim(runners, name, held=True)
    attacker.annotate("flagged", FLAG)
    for name in uids:
        attacker.delete(name)
        eventually(
            lambda name=name: "deletionTimestamp" in (runners.get("pvc", name) or {"metadata": {}})["metadata"],  # type: ignore[misc]
            seconds=20,
            what=f"the claim of {name} is being deleted",
        )
    kill(control_plane)
    for _ in range(2):
        # Anew each time: only attempts that were begun without an API server count.
        seen = len(operator.log)
        eventually(lambda seen=seen: "annot connect" in operator.log[seen:], seconds=40, what="an attempt fails")  # type: ignore[misc]
    assert {name: fate(operator, uid) for name, uid in uids.items()} == {"plain": "kept", "flagged": "kept"}
    assert operator.running
    control_plane.start(SERVER)
    for name in uids:
        hold_claim(runners, name, held=False)
    for name, uid in uids.items():
        attacker.wait_gone(name, uid, seconds=60)
    assert fate(operator, uids["flagged"]) == "archived"
    assert not list(operator.storage_root.glob(f"{runners.namespace}/*"))


def test_a_request_missed_while_the_api_server_was_away_is_honoured(
    runners: Runners, operator: OperatorProcess, attacker: Account, control_plane: LocalCluster
) -> None:
    uids = provisioned(attacker, "runner-0")
    operator.send(signal.SIGSTOP)
    try:
        attacker.delete("runner-0")
        kill(control_plane)
        control_plane.start(SERVER)
        attacker.annotate("runner-0", FLAG)
    finally:
        operator.send(signal.SIGCONT)
    attacker.wait_gone("runner-0", uids["runner-0"], seconds=60)
    assert fate(operator, uids["runner-0"]) == "archived"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_a_server_that_fails_at_any_moment_of_many_deletions_loses_no_evidence(
    runners: Runners, operator: OperatorProcess, attacker: Account, control_plane: LocalCluster, number: signal.Signals
) -> None:
    chance = random.Random(number)
    uids = provisioned(attacker, *(f"runner-{index}" for index in range(30)))
    flagged = dict(list(uids.items())[::2])
    for name in flagged:
        attacker.annotate(name, FLAG)
    runners.kubectl("delete", "mstor", "--all", "--wait=false")
    for _ in range(2):
        # A random moment is what is tested here, not a condition waited for.
        threading.Event().wait(chance.uniform(0.05, 0.6))
        if number is signal.SIGKILL:
            kill(control_plane)
        else:
            control_plane.signal(SERVER, number)
        try:
            threading.Event().wait(chance.uniform(0.5, 1.5))
            lost = {name for name, uid in flagged.items() if fate(operator, uid) == "lost"}
            assert not lost, "evidence is archived or kept at every moment"
        finally:
            if number is signal.SIGKILL:
                control_plane.start(SERVER)
            else:
                control_plane.signal(SERVER, signal.SIGCONT)
    eventually(lambda: not runners.every("mstor"), seconds=120, what="all are gone")
    for name, uid in flagged.items():
        assert fate(operator, uid) == "archived", name
    assert not list(operator.storage_root.glob(f"{runners.namespace}/*"))
    assert not runners.volumes()


def test_a_deleted_namespace_is_terminating_until_all_evidence_is_archived(
    doomed: Runners, cluster: Cluster, operator: OperatorProcess, tmp_path: Path
) -> None:
    account = tenant(doomed, tmp_path)
    uids = provisioned(account, "plain", "flagged", "held", "late")
    by_policy = account.create("policy", spec={"deletionPolicy": "Quarantine"})
    leave_evidence(account.wait_ready("policy", by_policy["metadata"]["uid"]))
    uids["policy"] = by_policy["metadata"]["uid"]
    account.annotate("flagged", FLAG)
    hold_claim(doomed, "held", held=True)
    hold_claim(doomed, "late", held=True)
    cluster.kubectl("delete", "namespace", "doomed", "--wait=false")
    for name in ("plain", "flagged", "policy"):
        doomed.wait_gone(name, seconds=60)
    # The tenant's own rights went with the namespace.
    doomed.quarantine("late")
    held = doomed.storage("held")
    assert held["metadata"]["finalizers"] == ["metricsstorage.dev/directory"]
    assert cluster.kubectl("get", "namespace", "doomed", "-o", "jsonpath={.status.phase}").stdout == "Terminating"
    assert fate(operator, uids["held"]) == fate(operator, uids["late"]) == "kept"
    for name in ("held", "late"):
        hold_claim(doomed, name, held=False)
    cluster.kubectl("wait", "--for=delete", "namespace/doomed", "--timeout=90s", timeout=100)
    expected = {"plain": "lost", "held": "lost", "flagged": "archived", "policy": "archived", "late": "archived"}
    assert {name: fate(operator, uid) for name, uid in uids.items()} == expected
    assert_nothing_left(operator, "doomed", set(uids.values()))
    assert not doomed.volumes()


@pytest.fixture
def definition(cluster: Cluster, runners: Runners, operator: OperatorProcess, tmp_path: Path) -> Iterator[str]:
    """The name of the definition, which a test may delete; it is there again at the end, with a fresh operator.

    An operator that saw its definition go may miss that it came back, and ends then.
    """
    yield DEFINITION
    present = cluster.kubectl("get", "crd", DEFINITION, "--ignore-not-found", "-o", "json").stdout
    if present.strip() and "deletionTimestamp" in json.loads(present)["metadata"]:
        for storage in runners.every("mstor"):
            name = storage["metadata"]["name"]
            runners.kubectl("patch", "mstor", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        cluster.kubectl("wait", "--for=delete", f"crd/{DEFINITION}", "--timeout=30s", timeout=40)
    install(cluster, tmp_path)
    if operator.running:
        assert operator.stop() == 0, operator.log[-3000:]


def test_a_deleted_definition_is_terminating_until_all_evidence_is_archived(
    runners: Runners, cluster: Cluster, operator: OperatorProcess, attacker: Account, definition: str
) -> None:
    uids = provisioned(attacker, "plain", "flagged", "held")
    attacker.annotate("flagged", FLAG)
    hold_claim(runners, "held", held=True)
    cluster.kubectl("delete", "crd", definition, "--wait=false")
    for name in ("plain", "flagged"):
        runners.wait_gone(name)
    assert fate(operator, uids["flagged"]) == "archived"
    assert fate(operator, uids["held"]) == "kept"
    hold_claim(runners, "held", held=False)
    cluster.kubectl("wait", "--for=delete", f"crd/{definition}", "--timeout=30s", timeout=40)
    assert_nothing_left(operator, runners.namespace, set(uids.values()))


def test_a_deleted_definition_loses_no_evidence_whoever_takes_finalizers_off(
    runners: Runners, cluster: Cluster, operator: OperatorProcess, attacker: Account, definition: str
) -> None:
    uids = provisioned(attacker, "early", "late")
    attacker.annotate("early", FLAG)
    runners.wait_condition("early", "Quarantined")
    hold_claim(runners, "late", held=True)
    attacker.annotate("late", FLAG)
    cluster.kubectl("delete", "crd", definition, "--wait=false")
    # Whether the operator still may or not, a person does what people do to a deletion that takes its time.
    for name in uids:
        attacker.take_finalizers(name)
    cluster.kubectl("wait", "--for=delete", f"crd/{definition}", "--timeout=30s", timeout=40)
    hold_claim(runners, "late", held=False)
    assert fate(operator, uids["early"]) == "archived"
    assert fate(operator, uids["late"]) in ("archived", "kept")
    assert operator.running


def test_a_definition_that_comes_back_is_served_again(
    runners: Runners, cluster: Cluster, operator: OperatorProcess, attacker: Account, definition: str, tmp_path: Path
) -> None:
    cluster.kubectl("delete", "crd", definition, "--timeout=30s", timeout=40)
    install(cluster, tmp_path)
    uid = attacker.create("back")["metadata"]["uid"]

    def ready_or_ended() -> bool:
        return operator.probe("readyz") == 0 or bool(runners.storage("back").get("status", {}).get("path"))

    eventually(ready_or_ended, seconds=60, what="the operator serves the definition, or ends to be started anew")
    eventually(lambda: operator.probe("readyz") or not operator.running, seconds=20, what="it has ended")
    if not operator.running:
        assert "definition deleted and applied again" in operator.log
        operator.start()
    attacker.wait_ready("back", uid)
    attacker.delete("back")
    attacker.wait_gone("back", uid)


def assert_nothing_left(operator: OperatorProcess, namespace: str, uids: set[str]) -> None:
    """No directory, no journal entry, nothing on the way out."""
    private = operator.storage_root / ".metrics-storage"

    def left() -> list[str]:
        found = [path.name for name in ("journal", "frozen", "trash") for path in (private / name).iterdir()]
        return [name for name in found if any(uid in name for uid in uids)]

    # The journal's last entries go right after the objects have left the API server.
    eventually(lambda: not left(), seconds=10, what=f"nothing is left: {left()}")
    assert not os.path.lexists(operator.storage_root / namespace)
