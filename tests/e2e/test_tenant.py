"""A hostile tenant: may create, patch and delete MetricsStorages in one namespace, and gets nothing lost by that.

No admission policy is installed here. Evidence is either archived, once and completely, or still in its directory,
and what has lost its MetricsStorage is named in the log.
"""

import itertools
import json
import random
import threading
import time
from pathlib import Path

from tests.e2e.tenant import (
    FLAG,
    QUARANTINE,
    UNFLAG,
    Account,
    account,
    fate,
    hold,
    leave_evidence,
    provisioned,
    tenant,
    together,
    wait_archived,
    wait_latched,
)
from tools.cluster import Cluster
from tools.installation.process import OperatorProcess
from tools.installation.runners import Object, Runners, condition
from tools.waiting import eventually

"""Annotations that declare work done, put it off, or make kopf blind."""


def test_a_tenant_may_create_patch_and_delete_storages_and_nothing_else(
    runners: Runners, attacker: Account, cluster: Cluster
) -> None:
    provisioned(attacker, "runner-0")
    before = attacker.get("runner-0")
    assert before is not None
    core, done = f"api/v1/namespaces/{runners.namespace}", {"status": {"phase": "Quarantined"}}
    merge = "application/merge-patch+json"
    elsewhere = attacker.path().replace(runners.namespace, "default")
    refused = [
        ("PATCH", attacker.path("runner-0", subresource="status"), done, merge),
        ("PUT", attacker.path("runner-0", subresource="status"), {**before, **done}),
        ("PUT", attacker.path("runner-0"), before),
        ("DELETE", attacker.path()),
        ("GET", elsewhere),
        ("POST", elsewhere, before),
        ("GET", f"{core}/persistentvolumeclaims/runner-0"),
        ("DELETE", f"{core}/persistentvolumeclaims/runner-0"),
        ("GET", f"api/v1/persistentvolumes/{before['status']['volumeName']}"),
        ("DELETE", f"api/v1/persistentvolumes/{before['status']['volumeName']}"),
        ("POST", f"{core}/events", {"metadata": {"generateName": "x-"}}),
        ("GET", f"{core}/secrets"),
    ]
    answers = {" ".join(asked[:2]): attacker.request(*asked)[0] for asked in refused}  # type: ignore[arg-type]
    assert answers == dict.fromkeys(answers, 403)
    # Where the main resource takes a status along, it is dropped.
    assert attacker.request("PATCH", attacker.path("runner-0"), done, merge)[0] == 200
    assert (attacker.get("runner-0") or {})["status"]["phase"] == "Ready"
    body = {**before, **done, "metadata": {"name": "runner-1"}}
    assert attacker.request("POST", attacker.path(), body)[1]["status"] == {"observedGeneration": -1}


def test_a_request_that_stood_for_a_moment_is_honoured(operator: OperatorProcess, attacker: Account) -> None:
    uids = provisioned(attacker, *(f"runner-{number}" for number in range(20)))
    for number, name in enumerate(uids):
        attacker.annotate(name, FLAG)
        attacker.annotate(name, UNFLAG)
        if number % 2:
            attacker.delete(name)
    wait_archived(operator, uids)


def test_taking_a_latched_request_away_cancels_nothing_at_any_stage(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, "waiting", "changed", "deleting", "done")
    hold(runners, ["waiting", "changed", "deleting"], held=True)
    for name in uids:
        attacker.annotate(name, FLAG)
    wait_latched(attacker, *uids)
    attacker.annotate("waiting", UNFLAG)
    attacker.annotate("changed", {QUARANTINE: "nothing to see"})
    attacker.delete("deleting")
    attacker.annotate("deleting", UNFLAG)
    runners.wait_condition("done", "Quarantined")
    attacker.annotate("done", UNFLAG)
    hold(runners, ["waiting", "changed", "deleting"], held=False)
    wait_archived(operator, uids)
    for name in ("waiting", "changed", "done"):
        storage = runners.wait_condition(name, "Stalled", reason="Quarantined")
        assert storage["status"]["quarantine"]["reason"] == "flagged"


def test_changes_of_the_spec_cancel_no_quarantine(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    changes: dict[str, Object] = {
        "policy": {"deletionPolicy": "Delete"},
        "retained": {"deletionPolicy": "Retain"},
        "capacity": {"capacity": "2Gi"},
        "owner": {"directory": {"owner": "0:0"}},
    }
    uids = {name: attacker.create(name, spec={"deletionPolicy": "Quarantine"})["metadata"]["uid"] for name in changes}
    for name, uid in uids.items():
        leave_evidence(attacker.wait_ready(name, uid))
    hold(runners, list(uids), held=True)
    for name in uids:
        attacker.delete(name)
    wait_latched(attacker, *uids)
    for name, spec in changes.items():
        attacker.patch(name, spec=spec)
    hold(runners, list(uids), held=False)
    wait_archived(operator, uids)
    for name, uid in uids.items():
        attacker.wait_gone(name, uid)


def test_fifty_lives_of_few_names_leave_the_evidence_of_exactly_the_flagged_ones(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    def live(name: str, life: int) -> str:
        storage = attacker.create(name)
        uid = str(storage["metadata"]["uid"])
        leave_evidence(attacker.wait_ready(name, uid, seconds=60))
        if life % 2:
            attacker.annotate(name, FLAG)
        attacker.delete(name)
        return uid

    with together(4) as threads:
        rows = list(threads.map(lambda name: [live(name, life) for life in range(14)], ["a", "b", "a.1", "a.2"]))
    uids = [uid for row in rows for uid in row]
    assert len(set(uids)) == 56
    eventually(lambda: not runners.every("mstor"), seconds=60, what="all are gone")
    for row in rows:
        for life, uid in enumerate(row):
            assert fate(operator, uid) == ("archived" if life % 2 else "lost"), f"life {life}"
    found = {path.name.split("_")[1] for path in (operator.quarantine_root / runners.namespace).iterdir()}
    assert found == {uid for row in rows for uid in row[1::2]}
    assert not list(operator.storage_root.glob(f"{runners.namespace}/*"))


def test_claims_that_race_for_a_name_never_get_a_directory(runners: Runners, attacker: Account, tmp_path: Path) -> None:
    rule = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["create"]}
    thief = account(runners, tmp_path, "thief", rule)
    path = f"api/v1/namespaces/{runners.namespace}/persistentvolumeclaims"
    spec = {
        "storageClassName": "metrics-storage",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
    }

    def claim(name: str, **fields: str) -> None:
        assert thief.request("POST", path, {"metadata": {"name": name}, "spec": {**spec, **fields}})[0] in (201, 409)

    names = [f"runner-{number}" for number in range(100)]
    start = threading.Barrier(2)
    chance = random.Random(7)

    def steal() -> None:
        for name in names:
            start.wait(60)
            # A random moment of the operator's work is what is attacked here, not a condition waited for.
            threading.Event().wait(chance.uniform(0, 0.04))
            claim(name)

    with together(2) as threads:
        threads.submit(steal)
        uids = {}
        for name in names:
            start.wait(60)
            uids[name] = attacker.create(name)["metadata"]["uid"]
            # The volume will have this name; a claim may ask for it before it is there.
            claim(f"{name}-second", volumeName=f"ms-{uids[name]}")

    def decided(storage: Object) -> bool:
        return condition(storage, "Ready").get("status") == "True" or condition(storage, "Stalled").get("reason") == (
            "ClaimConflict"
        )

    eventually(lambda: all(map(decided, runners.every("mstor"))), seconds=60, what="all are ready or in conflict")
    claims = {item["metadata"]["uid"]: item for item in runners.every("pvc")}
    for volume in runners.volumes():
        owner = claims[volume["spec"]["claimRef"]["uid"]]["metadata"]["ownerReferences"][0]["uid"]
        assert volume["metadata"]["name"] == f"ms-{owner}"
    foreign = [item for item in claims.values() if "ownerReferences" not in item["metadata"]]
    assert {item["status"]["phase"] for item in foreign} <= {"Pending", "Lost"}
    won = sum(condition(storage, "Ready").get("status") == "True" for storage in runners.every("mstor"))
    print(f"\n100 races: {won} won by the operator, {100 - won} in conflict, {len(foreign)} foreign claims, none bound")
    for name in uids:
        attacker.delete(name)
    eventually(lambda: not runners.every("mstor"), seconds=60, what="all are gone")
    left = {item["metadata"]["uid"] for item in runners.every("pvc")}
    assert {item["metadata"]["uid"] for item in foreign} <= left, "foreign claims are left alone"


REASONS = {
    "lines": "a\n[2026-01-01] kopf [ERROR] forged line",
    "terminal": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "null": "a\x00b",
    "right-to-left": "\u202egnp.exe \U0001f600",
    "blank": " ",
    "long": "x" * 200_000,
    "wide": "é" * 100_000,
}


def test_odd_and_huge_reasons_are_latched_and_bounded(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, *REASONS)
    for name, reason in REASONS.items():
        assert attacker.annotate(name, {QUARANTINE: reason}) == 200
    wait_archived(operator, uids)
    for name, uid in uids.items():
        quarantine = runners.wait_condition(name, "Quarantined")["status"]["quarantine"]
        assert 0 < len(quarantine["reason"]) <= 1024
        manifests = operator.quarantine_root.glob(f"*/*_{uid}_*.manifest.jsonl")
        written = {json.loads(path.read_text().splitlines()[0])["reason"] for path in manifests}
        assert written == {quarantine["reason"]}
    told = [item for item in runners.every("events") if item["reason"] == "QuarantineRequested"]
    assert {item["involvedObject"]["name"] for item in told} == set(REASONS)
    assert max(len(item["message"].encode()) for item in told) <= 1024
    for name, uid in uids.items():
        attacker.delete(name)
        attacker.wait_gone(name, uid)
    assert len(operator.log.splitlines()[-1]) < 4096


def test_no_reason_writes_lines_or_escape_sequences_into_the_log(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, "lines", "terminal")
    for name in uids:
        attacker.annotate(name, {QUARANTINE: REASONS[name]})
    wait_archived(operator, uids)
    assert not any(
        "forged line" in line and not line.count("QuarantineRequested") for line in operator.log.splitlines()
    )
    assert "\x1b" not in operator.log


def test_storages_and_annotations_as_large_as_they_get_go_on(operator: OperatorProcess, attacker: Account) -> None:
    largest = {"example.com/ballast": "x" * 250_000}
    uid = attacker.create("runner-0", largest)["metadata"]["uid"]
    leave_evidence(attacker.wait_ready("runner-0", uid))
    attacker.annotate("runner-0", FLAG)
    attacker.delete("runner-0")
    wait_archived(operator, {"runner-0": uid})
    attacker.wait_gone("runner-0", uid)


def test_a_flood_in_one_namespace_lets_others_through(
    runners: Runners, attacker: Account, cluster: Cluster, tmp_path: Path
) -> None:
    elsewhere = Runners(cluster, f"{runners.namespace}-neighbour")
    cluster.kubectl("create", "namespace", elsewhere.namespace)
    neighbour = tenant(elsewhere, tmp_path)
    numbers = itertools.count()

    def seconds() -> float:
        name, started = f"runner-{next(numbers)}", time.monotonic()
        neighbour.wait_ready(name, neighbour.create(name)["metadata"]["uid"], seconds=60)
        return time.monotonic() - started

    try:
        alone = sorted(seconds() for _ in range(5))[2]
        with together(8) as threads:
            list(threads.map(attacker.create, [f"runner-{number}" for number in range(300)]))
        flooded = seconds()
        ready = [item for item in runners.every("mstor") if item.get("status", {}).get("phase") == "Ready"]
        print(f"\nneighbour: {alone:.2f} s alone, {flooded:.2f} s in a flood of 300, {len(ready)} of which came first")
        assert flooded < 60
        runners.kubectl("delete", "mstor", "--all", "--wait=false")
        eventually(lambda: not runners.every("mstor"), seconds=120, what="the flood is over")
    finally:
        cluster.kubectl("delete", "namespace", elsewhere.namespace, "--timeout=60s")
