"""The network between this machine and its nodes: a bridge in a network namespace of its own.

The namespace lives as long as the process that holds it, and every cable ends in it, this machine's too. So the
kernel takes the whole network away when that process ends, by whatever means. Nothing of this machine's own
routing or packet filter is changed, and nothing leaves this machine.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.errors import ClusterError
from tools.cluster.nodes.commands import has_own_network, run
from tools.cluster.processes import Lifetime, Process
from tools.cluster.waiting import wait_until

__all__ = ["HOLDER", "Fabric", "Plan", "choose_plan"]

HOLDER = "fabric"
_BRIDGE = "fabric0"
_FIRST_NODE = 10
_FREE = [ipaddress.IPv4Network(f"10.{second}.0.0/16") for second in range(128, 255)]


@dataclass(frozen=True)
class Plan:
    """Who has which address; `network` is a /16, of which each node has a /24 for its Pods."""

    network: ipaddress.IPv4Network

    @property
    def machine(self) -> str:
        """This machine's address, at which nodes and Pods reach the API server."""
        return str(self.network[1])

    def node(self, number: int) -> str:
        """Address of node 1, 2, …"""
        return str(self.network[_FIRST_NODE + number])

    def pods(self, number: int) -> str:
        """The Pods' subnet of node 1, 2, …"""
        return str(list(self.network.subnets(new_prefix=24))[number])

    @property
    def links(self) -> str:
        """The subnet of this machine and the nodes."""
        return str(next(self.network.subnets(new_prefix=24)))


class Fabric:
    """The bridge, with this machine connected to it."""

    def __init__(self, plan: Plan, process: Process, nodes: int) -> None:
        self.plan = plan
        self._process = process
        self._nodes = nodes

    @classmethod
    def launch(cls, state: Path, lifetime: Lifetime, nodes: int) -> Fabric:
        """Make the bridge for so many nodes, and connect this machine.

        Raises ClusterError where a namespace, a bridge or a pair of virtual cables cannot be made.
        """
        plan = choose_plan(_routes())
        sleep = shutil.which("sleep") or "/bin/sleep"
        process = Process.spawn(HOLDER, ["unshare", "--net", "--", sleep, "infinity"], state, lifetime)
        fabric = cls(plan, process, nodes)
        try:
            wait_until("the network has a namespace", lambda: has_own_network(process.identity.pid), process)
            inside = fabric._inside
            run([*inside, "ip", "link", "add", _BRIDGE, "type", "bridge"])
            run([*inside, "ip", "link", "set", _BRIDGE, "up"])
            name = f"ms{secrets.token_hex(4)}"
            run(["ip", "link", "add", name, "type", "veth", "peer", "name", "machine", "netns", fabric._pid])
            fabric._plug("machine")
            run(["ip", "address", "add", f"{plan.machine}/24", "dev", name])
            run(["ip", "link", "set", name, "up"])
        except BaseException:
            process.stop(kill=True)
            raise
        return fabric

    def connect(self, pid: int, number: int) -> None:
        """Give node `number`, whose first process has this pid, its cable and address.

        Pods of other nodes are behind their addresses. There is no default route: what is not on this fabric is
        unreachable at once, and nothing waits for it.
        """
        port, inside = f"node{number}", _in_network_of(str(pid))
        # The kernel takes the cable of a node that lost its power away, but only some time later.
        with contextlib.suppress(ClusterError):
            run([*self._inside, "ip", "link", "delete", port])
        run(["ip", "link", "add", port, "netns", self._pid, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        self._plug(port)
        run([*inside, "ip", "link", "set", "lo", "up"])
        run([*inside, "ip", "address", "add", f"{self.plan.node(number)}/24", "dev", "eth0"])
        run([*inside, "ip", "link", "set", "eth0", "up"])
        for other in range(1, self._nodes + 1):
            if other != number:
                run([*inside, "ip", "route", "add", self.plan.pods(other), "via", self.plan.node(other)])

    def stop(self) -> None:
        """Take the network away."""
        self._process.stop(kill=True)

    def _plug(self, port: str) -> None:
        run([*self._inside, "ip", "link", "set", port, "master", _BRIDGE, "up"])

    @property
    def _pid(self) -> str:
        return str(self._process.identity.pid)

    @property
    def _inside(self) -> list[str]:
        return _in_network_of(self._pid)


def choose_plan(taken: list[ipaddress.IPv4Network]) -> Plan:
    """A plan at random, of a private network that overlaps none of those taken."""
    free = [network for network in _FREE if not any(network.overlaps(other) for other in taken)]
    if not free:
        raise ClusterError("all private networks from 10.128.0.0/16 to 10.254.0.0/16 are in use on this machine")
    return Plan(secrets.choice(free))


def _routes() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run(["ip", "-json", "-4", "route", "show"]))
    return [ipaddress.IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def _in_network_of(pid: str) -> list[str]:
    return ["nsenter", "--net", "--target", pid, "--"]
