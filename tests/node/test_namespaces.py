"""A namespace full of runners is deleted while they run."""

from tools.cluster import Cluster
from tools.installation.deployment import Operator
from tools.installation.pods import WRITE_AND_STAY, phase, start
from tools.installation.runners import Runners
from tools.waiting import eventually


def test_a_namespace_full_of_runners_goes_and_leaves_the_evidence(
    runners: Runners, operator: Operator, cluster: Cluster
) -> None:
    names = [f"runner-{number}" for number in range(8)]
    start(runners, *names[:6], script=WRITE_AND_STAY)
    start(runners, *names[6:], script=WRITE_AND_STAY, spec={"deletionPolicy": "Quarantine"})
    eventually(
        lambda: all(phase(runners, name) == "Running" for name in names), seconds=120, what="all the runners run"
    )
    runners.quarantine(names[0], names[1])
    cluster.kubectl("delete", "namespace", runners.namespace, "--wait=false")
    look = ("get", "namespace", runners.namespace, "--ignore-not-found", "-o", "name")
    eventually(lambda: not cluster.kubectl(*look).stdout, seconds=180, what="the namespace is gone")
    operator.assert_nothing_left(runners.namespace)
    archives = operator.archives(runners.namespace)
    final = [archive for archive in archives if archive["clean"]]
    assert sorted(archive["name"] for archive in final) == [names[0], names[1], names[6], names[7]]
    operator.verify(archives)
