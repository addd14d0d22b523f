"""Many nodes: the real controller with TLS, the real API server with a Node for each, the real wire of each agent.

Simulated are the nodes: their agents share a few processes, and their storage volumes are directories of one disk in
memory, each with a journal and an engine of its own. No Pod runs.
"""

import asyncio
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from metrics_storage import constants
from metrics_storage.agent.calls import Calls
from metrics_storage.agent.connection import Connection
from metrics_storage.agent.vault import RemoteVault
from metrics_storage.channel.protocol import KEEPALIVE, SERVER_NAME
from metrics_storage.controller.fleet.authentication import AUDIENCE
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.kube.client import Client
from metrics_storage.kube.resources import NODES, PODS, STORAGES, Resource
from tools.cluster import Cluster, session_cluster
from tools.cluster.handle import find_kubectl
from tools.installation.definition import install
from tools.installation.fleet import ControllerProcess
from tools.installation.process import OperatorProcess
from tools.waiting import eventually

_OVERLAY: Final = Path(__file__).parents[2] / "manifests" / "overlays" / "agents"
_SYSTEM: Final = "metrics-storage"
_ACCOUNT: Final = "metrics-storage-agent"
_TOKENS: Final = Resource("/api/v1", f"serviceaccounts/{_ACCOUNT}/token")
_NAMESPACE: Final = "bench"
_PROCESSES: Final = 2
_STORAGES: Final = 600
_RATES: Final = (10, 25, 50)
"""MetricsStorages that are created a second."""


def measure(many: int) -> None:
    """Print how a controller with so many agents does, beside an operator with one storage volume."""
    with session_cluster("a benchmark needs a cluster of its own") as cluster, ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-fleet-", dir=_memory())))
        kubeconfig = install(cluster, root)
        cluster.kubectl("create", "namespace", _NAMESPACE)
        api = Client.connect(cluster.kubeconfig, cluster.context)
        stack.callback(api.close)
        print("many nodes: milliseconds from the creation to Ready, of", _STORAGES, "at each rate")
        _one_volume(cluster, api, kubeconfig, root / "one")
        for name in ("controller-role.yaml", "agent-account.yaml"):
            cluster.kubectl("apply", "-f", str(_OVERLAY / name))
        tokens = _join(api, many)
        controller = ControllerProcess(kubeconfig, root / "fleet", flags=())
        controller.directory.mkdir()
        controller.start()
        stack.callback(controller.kill)
        published = cluster.kubectl("-n", _SYSTEM, "get", "cm", "metrics-storage-controller-ca", "-o", "json")
        authority = json.loads(published.stdout)["data"]["ca.crt"]
        began = time.monotonic()
        for number in range(_PROCESSES):
            stack.enter_context(_agents(root, number, controller.agents_port, authority, tokens[number::_PROCESSES]))
        _until_connected(controller, many)
        first = time.monotonic() - began
        idle = _resident(controller)
        controller.kill()
        began = time.monotonic()
        controller.start()
        _until_connected(controller, 2 * many)
        again = time.monotonic() - began
        _load(cluster, api, f"{many:,} agents")
        print(f"  all agents are connected {first:.1f} s after their start, {again:.1f} s after the controller's")
        loaded = _resident(controller)
        print(
            f"  the controller has {idle} MiB with them, {loaded} after {len(_RATES) * _STORAGES:,} lives", flush=True
        )


def _one_volume(cluster: Cluster, api: Client, kubeconfig: Path, directory: Path) -> None:
    directory.mkdir()
    operator = OperatorProcess(kubeconfig, directory, flags=())
    operator.start()
    try:
        _load(cluster, api, "one volume")
    finally:
        operator.stop()


def _load(cluster: Cluster, api: Client, where: str) -> None:
    """Create at each rate, print how long each took to be Ready, and delete."""
    for rate in _RATES:
        took = sorted(_took(cluster, api, rate))
        p99 = took[int(len(took) * 0.99)]
        print(f"  {where:<14} {rate:3} a second: median {statistics.median(took):7.0f}, p99 {p99:7.0f}", flush=True)
        for storage in list(api.list(STORAGES, _NAMESPACE)):
            api.delete(STORAGES, storage["metadata"]["name"], storage["metadata"]["uid"], _NAMESPACE)
        eventually(lambda: not list(api.list(STORAGES, _NAMESPACE)), seconds=900, what="all are gone")


def _took(cluster: Cluster, api: Client, rate: int) -> list[float]:
    """Milliseconds that each took."""
    created: dict[str, float] = {}
    ready: dict[str, float] = {}

    def create(number: int) -> None:
        name = f"runner-{number}"
        created[name] = time.monotonic()
        body = {"apiVersion": constants.API_VERSION, "kind": constants.KIND, "metadata": {"name": name}, "spec": {}}
        api.create(STORAGES, body, _NAMESPACE)

    with _watching(cluster, ready), ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        for number in range(_STORAGES):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            pool.submit(create, number)
        eventually(lambda: len(ready) == _STORAGES, seconds=600, what="all are Ready")
    return [1000 * (ready[name] - at) for name, at in created.items()]


@contextmanager
def _watching(cluster: Cluster, ready: dict[str, float]) -> Iterator[None]:
    """Note when each MetricsStorage is first seen to be Ready."""
    columns = '{.metadata.name}{" "}{.status.phase}{"\\n"}'
    command = [
        *(str(find_kubectl()), f"--kubeconfig={cluster.kubeconfig}", f"--context={cluster.context}"),
        *("-n", _NAMESPACE, "get", "mstor", "--watch", "-o", f"jsonpath={columns}"),
    ]

    def read(lines: Any) -> None:
        for line in lines:
            name, _, phase = line.strip().partition(" ")
            if phase == "Ready":
                ready.setdefault(name, time.monotonic())

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        reader = threading.Thread(target=read, args=(watching.stdout,))
        reader.start()
        yield
        watching.kill()
        reader.join()


def _join(api: Client, many: int) -> list[str]:
    """Nodes and the Pods of their agents; gives each agent's token."""

    def join(number: int) -> str:
        node = f"node-{number}"
        labels = {"kubernetes.io/hostname": node}
        api.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}})
        spec = {
            "serviceAccountName": _ACCOUNT,
            "automountServiceAccountToken": False,
            "nodeName": node,
            "containers": [{"name": "agent", "image": "agent"}],
            "tolerations": [{"operator": "Exists"}],
        }
        pod = api.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": spec}, _SYSTEM)
        uid = (pod or {})["metadata"]["uid"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": node, "uid": uid}
        request = {"audiences": [AUDIENCE], "expirationSeconds": 7200, "boundObjectRef": bound}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": request}
        return str((api.create(_TOKENS, body, _SYSTEM) or {})["status"]["token"])

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(join, range(many)))


@contextmanager
def _agents(root: Path, number: int, port: int, authority: str, tokens: list[str]) -> Iterator[None]:
    """A process with the agents of these tokens."""
    command = [sys.executable, "-m", "tools.bench.fleet"]
    told = {"port": port, "root": str(root / f"agents-{number}"), "authority": authority, "tokens": tokens}
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        yield
        process.kill()


async def _run(told: dict[str, Any]) -> None:
    credentials = grpc.ssl_channel_credentials(told["authority"].encode())
    options = [*KEEPALIVE, ("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", SERVER_NAME)]

    def dial() -> grpc.aio.Channel:
        return grpc.aio.secure_channel(f"127.0.0.1:{told['port']}", credentials, options=options)

    with ExitStack() as stack:
        agents = []
        for number, token in enumerate(told["tokens"]):
            path = Path(told["root"]) / str(number)
            path.mkdir(parents=True)
            storage = stack.enter_context(Volume(path, Role.STORAGE, initialise=True))
            vault = RemoteVault()
            engine = LocalEngine(StorageEngine(storage, vault), workers=1, archive_workers=1)
            calls = Calls(engine, Epochs(storage))
            agents.append(Connection(calls, vault, storage.id, dial, lambda token=token: token))  # type: ignore[misc]
        await asyncio.gather(*(agent.run() for agent in agents))


def _until_connected(controller: ControllerProcess, times: int) -> None:
    said = "is connected with storage volume"
    eventually(lambda: controller.log.count(said) >= times, seconds=300, what="all agents are connected")


def _resident(controller: ControllerProcess) -> int:
    """Resident memory of a process, in MiB."""
    assert controller.pid is not None
    lines = Path(f"/proc/{controller.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS:"))


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _end_with_parent() -> None:
    """End this process when the standard input ends, which the parent holds open."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.disable()
    its_orders = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_run(its_orders))
