"""Fifty runners at once: all of them write and end, and nothing stays but the evidence of some."""

from collections import Counter
from typing import Final

from tools.installation.deployment import Operator
from tools.installation.pods import WRITE_AND_END, start
from tools.installation.runners import Runners
from tools.waiting import eventually

_RUNNERS: Final = 50


def test_fifty_runners_at_once_leave_nothing_but_the_archives_of_a_third(runners: Runners, operator: Operator) -> None:
    names = [f"runner-{number}" for number in range(_RUNNERS)]
    flagged = names[::3]
    start(runners, *names, script=WRITE_AND_END)
    eventually(lambda: phases(runners) == {"Succeeded": _RUNNERS}, seconds=300, what="every Pod has written and ended")
    runners.quarantine(*flagged)
    runners.kubectl("delete", "pods", "--all", "--wait=false")
    eventually(lambda: set(quarantined(runners)) == set(flagged), seconds=180, what="all who were flagged are archived")
    runners.delete(*names)
    runners.wait_all_gone(seconds=180)
    operator.assert_nothing_left(runners.namespace)
    assert not runners.volumes()
    assert not runners.every("pvc")
    archives = operator.archives(runners.namespace)
    assert sorted(archive["name"] for archive in archives if archive["clean"]) == sorted(flagged)
    assert {archive["files"] for archive in archives if archive["clean"]} == {3}
    operator.verify(archives)


def phases(runners: Runners) -> dict[str, int]:
    """How many Pods are in which phase."""
    return dict(Counter(pod["status"]["phase"] for pod in runners.every("pods")))


def quarantined(runners: Runners) -> list[str]:
    """The names of those whose archive is committed."""
    return [
        found["metadata"]["name"] for found in runners.every("mstor") if found["status"].get("phase") == "Quarantined"
    ]
