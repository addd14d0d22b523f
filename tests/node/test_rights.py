"""What the operator may do is what it does: the shipped roles against the API server's audit log, both ways."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from tests.node.rights import AuditLog, granted, live, roles
from tools.cluster import Cluster
from tools.cluster.local import LocalCluster
from tools.installation.deployment import DEPLOYMENT, USER, Operator
from tools.installation.runners import Runners

_OVERLAY: Final = "overlays/namespaced"
_ONE: Final = "runners"
"""The namespace that this overlay names."""


@pytest.fixture(autouse=True)
def _audited(cluster: Cluster) -> None:
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"the audit log of an API server of {cluster.provider} is out of reach")


@pytest.fixture
def namespaced(site: Operator, cluster: Cluster) -> Iterator[Operator]:
    """The operator for one namespace only, which is there before."""
    cluster.kubectl("create", "namespace", _ONE)
    site.install(_OVERLAY)
    yield site
    site.uninstall()
    cluster.kubectl("delete", "namespace", _ONE, "--wait=false")


def test_for_all_namespaces_it_uses_each_of_its_rights_and_asks_for_no_other(
    runners: Runners, operator: Operator, audit_log: AuditLog
) -> None:
    live(runners)
    assert audit_log.refused(USER) == set()
    used, given = audit_log.used(USER), granted(roles("base"))
    assert {replace(right, namespace="") for right in used} == {replace(right, namespace="") for right in given}
    assert {right.namespace for right in used if right.resource == "configmaps"} == {"metrics-storage"}


def test_for_one_namespace_it_uses_each_of_its_rights_and_asks_for_no_other(
    namespaced: Operator, cluster: Cluster, audit_log: AuditLog
) -> None:
    # What it did with the rights of the base before does not count; how it starts does.
    namespaced.kubectl("delete", "configmap", "metrics-storage-volume-ids")
    since = audit_log.from_now_on()
    namespaced.kubectl("rollout", "restart", DEPLOYMENT)
    namespaced.wait_rolled_out()
    live(Runners(cluster, _ONE))
    assert since.refused(USER) == set()
    assert since.used(USER) == granted(roles(_OVERLAY))
