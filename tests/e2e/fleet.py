"""A controller and agents as processes, with what the overlay for many nodes gives them in the cluster."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.agent_pods import issue, make_pod
from tools.cluster import Cluster
from tools.installation.fleet import AgentProcess, ControllerProcess
from tools.installation.runners import Object

_OVERLAY = Path(__file__).parents[2] / "manifests" / "overlays" / "agents"
_SYSTEM = "metrics-storage"
_ACCOUNT = "metrics-storage-agent"


@dataclass
class Fleet:
    """A controller, and the agent of each node."""

    cluster: Cluster
    controller: ControllerProcess
    agents: dict[str, AgentProcess] = field(default_factory=dict)

    def directory(self, storage: Object) -> Path:
        """Where the directory of a MetricsStorage is."""
        status = storage["status"]
        path = Path(status["path"]).relative_to(self.controller.agents_directory)
        return self.agents[status["nodeName"]].storage_root / path

    def journals(self) -> list[Path]:
        """The journal entries of all nodes."""
        roots = [agent.storage_root / ".metrics-storage" / "journal" for agent in self.agents.values()]
        return [path for root in roots for path in root.iterdir()]

    def join(self, node: str, directory: Path) -> None:
        """Have a node whose agent works below a directory; it is not started."""
        make_node(self.cluster, node)
        agent = AgentProcess(
            Path("/nowhere"), directory, controller_port=self.controller.agents_port, log_name="agent.log"
        )
        directory.mkdir(exist_ok=True)
        pod = make_pod(self.cluster, _SYSTEM, node, _ACCOUNT, f"agent-{node}")
        agent.token_file.write_text(issue(self.cluster, _SYSTEM, _ACCOUNT, pod))
        self.agents[node] = agent

    def start(self, *nodes: str) -> None:
        """Start agents that know the controller's certificate, and wait until they are connected."""
        published = self.cluster.kubectl("-n", _SYSTEM, "get", "cm", "metrics-storage-controller-ca", "-o", "json")
        for node in nodes:
            self.agents[node].ca_file.write_text(json.loads(published.stdout)["data"]["ca.crt"])
            self.agents[node].start()


def make_node(cluster: Cluster, name: str) -> None:
    """Have a Node in the cluster."""
    labels = {"kubernetes.io/hostname": name, "pool": name}
    node: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(node))


@contextlib.contextmanager
def installed(cluster: Cluster, controller: ControllerProcess) -> Iterator[Fleet]:
    """A fleet without nodes yet, whose controller is not started; its processes must end well, and nothing is left."""
    files = [_OVERLAY / "controller-role.yaml", _OVERLAY / "agent-account.yaml"]
    for file in files:
        cluster.kubectl("apply", "-f", str(file))
    fleet = Fleet(cluster, controller)
    try:
        yield fleet
        for process in (controller, *fleet.agents.values()):
            assert process.stop() == 0, process.log[-3000:]
    finally:
        for process in (controller, *fleet.agents.values()):
            process.kill()
        for name in fleet.agents:
            cluster.kubectl("-n", _SYSTEM, "delete", "pod", f"agent-{name}", "--grace-period=0", "--force")
            cluster.kubectl("delete", "node", name)
        for file in files:
            cluster.kubectl("delete", "-f", str(file))
        memories = ("metrics-storage-controller-ca", "metrics-storage-volume-ids")
        cluster.kubectl("-n", _SYSTEM, "delete", "cm", *memories, "--ignore-not-found")
