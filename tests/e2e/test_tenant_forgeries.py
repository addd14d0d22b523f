"""A tenant forges what kopf remembers, and strips finalizers: nothing is lost by that."""

import json
import threading
from collections.abc import Callable

import pytest

from tests.e2e.tenant import (
    FINALIZER,
    FLAG,
    QUARANTINE,
    Account,
    check_orphans,
    hold,
    provisioned,
    together,
    wait_archived,
    wait_latched,
)
from tools.installation.process import OperatorProcess
from tools.installation.runners import Runners

KOPF = "kopf.metricsstorage.dev"


def progress(purpose: str | None, **fields: object) -> str:
    """What kopf writes about a handler, in its own words."""
    return json.dumps({"started": "2020-01-01T00:00:00.000000+00:00", "purpose": purpose, "retries": 1, **fields})


FORGERIES: dict[str, dict[str, str]] = {
    "deleted": {f"{KOPF}/delete": progress("delete", success=True, stopped="2020-01-01T00:00:01.000000+00:00")},
    "deleted-for-any-purpose": {f"{KOPF}/delete": progress(None, success=True)},
    "changed": {f"{KOPF}/change": progress("update", success=True)},
    "failed": {f"{KOPF}/{name}": progress(None, failure=True) for name in ("change", "delete")},
    "delayed": {
        f"{KOPF}/{name}": progress(None, delayed="2099-01-01T00:00:00.000000+00:00") for name in ("change", "delete")
    },
    "unreadable-progress": {f"{KOPF}/change": "{", f"{KOPF}/delete": "{"},
    "odd-progress": {f"{KOPF}/change": "[1]", f"{KOPF}/delete": "7"},
    "unreadable-diff-base": {f"{KOPF}/last-handled-configuration": "{"},
    "odd-diff-base": {f"{KOPF}/last-handled-configuration": "[]"},
    "foreseen": {
        f"{KOPF}/last-handled-configuration": json.dumps({"metadata": {"annotations": {QUARANTINE: "flagged"}}})
    },
    "marked": {"metricsstorage.dev/kopf-managed": "yes", f"{KOPF}/kopf-managed": "yes"},
}


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param("forge flag", id="live"),
        pytest.param("forge flag delete", id="before deletion"),
        pytest.param("hold delete forge flag release", id="during deletion"),
        pytest.param("hold flag latch delete forge release", id="during quarantine"),
    ],
)
def test_forging_what_kopf_remembers_changes_nothing(
    runners: Runners, operator: OperatorProcess, attacker: Account, stages: str
) -> None:
    uids = provisioned(attacker, *FORGERIES)
    names = list(uids)
    steps: dict[str, Callable[[], object]] = {
        "forge": lambda: [attacker.annotate(name, {**forged}) for name, forged in FORGERIES.items()],
        "flag": lambda: [attacker.annotate(name, FLAG) for name in names],
        "delete": lambda: [attacker.delete(name) for name in names],
        "latch": lambda: wait_latched(attacker, *names),
        "hold": lambda: hold(runners, names, held=True),
        "release": lambda: hold(runners, names, held=False),
    }
    for stage in stages.split():
        steps[stage]()
    wait_archived(operator, uids)
    for name, uid in uids.items():
        if "delete" in stages:
            attacker.wait_gone(name, uid)
        else:
            runners.wait_condition(name, "Quarantined")


def test_forging_what_kopf_remembers_does_not_hold_an_ordinary_deletion(
    operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, *FORGERIES)
    for name, forged in FORGERIES.items():
        assert attacker.annotate(name, {**forged}) == 200
        assert attacker.delete(name) == 200
    for name, uid in uids.items():
        attacker.wait_gone(name, uid)
        assert not list(operator.storage_root.glob(f"*/{name}_{uid}"))


def test_a_finalizer_stripped_from_a_living_storage_comes_back(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, "runner-0")
    assert attacker.take_finalizers("runner-0") == 200
    runners.wait("runner-0", lambda found: found["metadata"].get("finalizers") == [FINALIZER], "has its finalizer")
    attacker.annotate("runner-0", FLAG)
    attacker.delete("runner-0")
    wait_archived(operator, uids)


def test_a_finalizer_stripped_during_deletion_keeps_the_directory_and_is_reported(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, "plain", "flagged", "latched")
    hold(runners, list(uids), held=True)
    attacker.annotate("latched", FLAG)
    wait_latched(attacker, "latched")
    for name in uids:
        attacker.delete(name)
    attacker.annotate("flagged", FLAG)
    for name, uid in uids.items():
        assert attacker.take_finalizers(name) == 200
        attacker.wait_gone(name, uid)
    hold(runners, list(uids), held=False)
    check_orphans(runners, operator, uids)


def test_a_finalizer_stripped_again_and_again_loses_nothing(
    runners: Runners, operator: OperatorProcess, attacker: Account
) -> None:
    uids = provisioned(attacker, *(f"runner-{number}" for number in range(20)))
    over = threading.Event()

    def strip() -> None:
        while not over.is_set():
            for name in uids:
                attacker.take_finalizers(name)

    with together(2) as threads:
        threads.submit(strip)
        try:
            for name in uids:
                attacker.annotate(name, FLAG)
                attacker.delete(name)
            for name, uid in uids.items():
                attacker.wait_gone(name, uid)
        finally:
            over.set()
    check_orphans(runners, operator, uids)
