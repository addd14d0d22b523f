"""Nodes, their controller, and a reconciler between them and a fake API server."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from metrics_storage.controller.events import Events
from metrics_storage.controller.fleet.absences import Absences
from metrics_storage.controller.fleet.authentication import TokenReviewer
from metrics_storage.controller.fleet.sites import FleetSites
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.kube.api import Api
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.resources import NODES as NODE_OBJECTS
from metrics_storage.kube.resources import STORAGES
from metrics_storage.model.identity import Identity, Uid
from tests.contract.fleet import NODES, Controller, Node, eventually, node
from tests.unit.controller.fake_api import FakeApi

OWNER = {"directory": {"owner": f"{os.getuid()}:{os.getgid()}"}}


@dataclass
class Fleet:
    """Nodes, their controller, and a reconciler between them and a fake API server."""

    api: FakeApi
    controller: Controller
    nodes: list[Node]
    reconciler: Reconciler
    sites: FleetSites
    dialling: list[asyncio.Task[None]]

    def apply(self, number: int, *, reason: str = "", **spec: Any) -> dict[str, Any]:
        """A new MetricsStorage."""
        annotations = {"metricsstorage.dev/quarantine": reason} if reason else {}
        name = f"runner-{number}"
        metadata = {"name": name, "namespace": "runners", "uid": str(Uid.new()), "generation": 1}
        self.api.add(STORAGES, {"metadata": metadata | {"annotations": annotations}, "spec": OWNER | spec}, "runners")
        return self.api.storage(name)

    def set_node(self, number: int, **spec: Any) -> None:
        """Have the API server say something of a Node."""
        pod = NODES[number]
        self.api.objects.pop((NODE_OBJECTS, None, pod.node), None)
        labels = {"kubernetes.io/hostname": pod.node} | spec.pop("labels", {})
        self.api.add(
            NODE_OBJECTS, {"metadata": {"name": pod.node, "uid": pod.node_uid, "labels": labels}, "spec": spec}
        )

    async def leave(self, number: int) -> None:
        """Have the agent of a node go away."""
        self.dialling[number].cancel()
        await eventually(lambda: not self._is_here(number), "the agent is away")

    async def come_back(self, number: int) -> None:
        """Have the agent of a node dial again."""
        connection = self.nodes[number].connection(self.controller.port, f"token-{number}")
        self.dialling[number] = asyncio.create_task(connection.run())
        await eventually(lambda: self._is_here(number), "the agent is back")

    def _is_here(self, number: int) -> bool:
        return self.controller.agents.get(self.nodes[number].volume_id) is not None

    def answer_slowly(self) -> None:
        """Have others go on while the API server answers."""
        get = self.api.get

        async def slow(*args: Any) -> Any:
            await asyncio.sleep(0.01)
            return await get(*args)

        self.api.get = slow  # type: ignore[method-assign, assignment]

    def directory(self, number: int, body: dict[str, Any]) -> Path:
        """Where the directory of a MetricsStorage would be on a node."""
        metadata = body["metadata"]
        identity = Identity(metadata["namespace"], metadata["name"], Uid(metadata["uid"]))
        return self.nodes[number].root / "storage" / identity.relative_path


@asynccontextmanager
async def fleet(root: Path, many: int = 2, *, accept_loss_after: float = 0) -> AsyncIterator[Fleet]:
    """So many nodes, all connected."""
    async with AsyncExitStack() as stack:
        controller = await stack.enter_async_context(Controller(root))
        nodes = [await stack.enter_async_context(node(_made(root / str(number)))) for number in range(many)]
        fake = FakeApi()
        api = cast("Api", fake)
        exists = TokenReviewer(api, "metrics-storage", "metrics-storage-agent").node_exists
        agents, bindings = controller.agents, controller.bindings
        absences = Absences(agents, bindings, controller.releases, exists, accept_loss_after=accept_loss_after)
        sites = FleetSites(agents, bindings, absences, api, DeletionWaiter(api), directory="/srv/metrics")
        made = Fleet(fake, controller, nodes, Reconciler(api, sites, Events(api)), sites, [])
        for number, here in enumerate(nodes):
            made.set_node(number)
            connection = here.connection(controller.port, f"token-{number}")
            made.dialling.append(asyncio.create_task(connection.run()))
        stack.callback(lambda: [task.cancel() for task in made.dialling])
        await eventually(lambda: len(agents) == many, "all agents are connected")
        yield made


def _made(path: Path) -> Path:
    path.mkdir()
    return path
