"""An agent's token proves its node, to the controller alone, and for as long as its Pod is there."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.controller.fleet.agents import AgentPod
from metrics_storage.controller.fleet.authentication import TokenReviewer
from metrics_storage.kube.api import Api
from metrics_storage.model.identity import Uid
from tests.e2e.agent_pods import issue, make_pod
from tools.cluster import Cluster

AGENT = "agent"
POD = "agent-abcde"
NODE = "node-7"
Review = Callable[[str], AgentPod | None]


@pytest.fixture
def node_agent(cluster: Cluster, operator_kubeconfig: Path, namespace: str) -> Iterator[dict[str, Any]]:
    """The Pod of an agent, placed on a node."""
    for account in (AGENT, "somebody"):
        cluster.kubectl("-n", namespace, "create", "serviceaccount", account)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(node))
    yield make_pod(cluster, namespace, NODE, AGENT, POD)
    cluster.kubectl("delete", "node", NODE, "--ignore-not-found")


@pytest.fixture
def review(cluster: Cluster, namespace: str) -> Review:
    async def ask(token: str) -> AgentPod | None:
        async with await Api.connect(cluster.kubeconfig, cluster.context) as api:
            return await TokenReviewer(api, namespace, AGENT)(token)

    return lambda token: asyncio.run(ask(token))


def test_a_token_proves_the_node_of_its_pod(
    cluster: Cluster, namespace: str, node_agent: dict[str, Any], review: Review
) -> None:
    proven = review(issue(cluster, namespace, AGENT, node_agent))
    node_uid = Uid(json.loads(cluster.kubectl("get", "node", NODE, "-o", "json").stdout)["metadata"]["uid"])
    assert proven == AgentPod(NODE, node_uid, POD, node_agent["metadata"]["uid"])


def test_no_other_token_proves_anything(
    cluster: Cluster, namespace: str, node_agent: dict[str, Any], review: Review
) -> None:
    other = make_pod(cluster, namespace, NODE, "somebody", "other")
    assert review(issue(cluster, namespace, "somebody", other)) is None
    assert review(issue(cluster, namespace, AGENT, None)) is None
    assert review(issue(cluster, namespace, AGENT, node_agent, audience="https://kubernetes.default.svc")) is None
    assert review(issue(cluster, namespace, AGENT, node_agent)[:-4] + "AAAA") is None
    assert review("") is None


def test_a_token_is_worth_nothing_once_its_pod_is_gone_or_another_has_its_name(
    cluster: Cluster, namespace: str, node_agent: dict[str, Any], review: Review
) -> None:
    token = issue(cluster, namespace, AGENT, node_agent)
    cluster.kubectl("-n", namespace, "delete", "pod", POD, "--grace-period=0", "--force")
    assert review(token) is None
    make_pod(cluster, namespace, NODE, AGENT, POD)
    assert review(token) is None


def test_a_node_is_known_by_its_uid(
    cluster: Cluster, namespace: str, node_agent: dict[str, Any], review: Review
) -> None:
    token = issue(cluster, namespace, AGENT, node_agent)
    first = review(token)
    assert first is not None

    async def exists(uid: Uid) -> bool:
        async with await Api.connect(cluster.kubeconfig, cluster.context) as api:
            return await TokenReviewer(api, namespace, AGENT).node_exists(NODE, uid)

    assert asyncio.run(exists(first.node_uid))
    assert not asyncio.run(exists(Uid.new()))
    cluster.kubectl("delete", "node", NODE)
    assert not asyncio.run(exists(first.node_uid))
    assert review(token) is None


def test_an_agents_token_is_good_for_nothing_at_the_api_server(
    cluster: Cluster, namespace: str, node_agent: dict[str, Any]
) -> None:
    token = issue(cluster, namespace, AGENT, node_agent)
    refused = cluster.kubectl("--token", token, "--user", "", "get", "--raw", "/api", check=False)
    assert refused.returncode != 0
    assert "Unauthorized" in refused.stderr
