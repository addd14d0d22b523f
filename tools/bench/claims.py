"""How long many runners take to have bound claims, with the operator and with the cluster's binder.

Both in one run, on one cluster, created by the same client: ratios compare, seconds depend on the machine.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from metrics_storage import constants
from metrics_storage.kube.builders import build_claim, build_volume
from metrics_storage.kube.client import Client
from metrics_storage.kube.resources import CLAIMS, STORAGES, VOLUMES, Resource
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec, VolumeBindingMode
from tools.cluster import Cluster, session_cluster
from tools.installation.definition import install
from tools.installation.process import OperatorProcess
from tools.waiting import eventually

T = TypeVar("T")

_NAMESPACE = "bench"
_AT_ONCE = 32
_NO_UID = "00000000-0000-0000-0000-{:012d}"


def measure(count: int) -> None:
    """Print what was measured with this many runners."""
    with session_cluster("a benchmark needs a cluster of its own") as cluster, _workspace(cluster) as (operator, api):
        print(f"{count} runners, created {_AT_ONCE} at a time, seconds from the first create to the last claim Bound:")
        ours, steps = _operator(operator, api, count)
        print(f"  operator          {ours:7.2f} s   {count / ours:6.1f} claims/s", flush=True)
        for name, seconds in steps.items():
            print(f"    {name:<15} {seconds:7.2f} s")
        binder = _binder(api, count)
        print(f"  cluster's binder  {binder:7.2f} s   {count / binder:6.1f} claims/s")
        print(f"  operator / binder {ours / binder:7.2f}     (promised: less than 0.25)", flush=True)


@contextmanager
def _workspace(cluster: Cluster) -> Iterator[tuple[OperatorProcess, Client]]:
    with tempfile.TemporaryDirectory(prefix="metrics-storage-bench-") as directory:
        kubeconfig = install(cluster, Path(directory))
        cluster.kubectl("create", "namespace", _NAMESPACE)
        operator = OperatorProcess(kubeconfig, Path(directory), flags=("--sweep-interval=60",))
        operator.start()
        api = Client.connect(cluster.kubeconfig, cluster.context)
        try:
            yield operator, api
        finally:
            operator.stop()
            api.close()


def _operator(operator: OperatorProcess, api: Client, count: int) -> tuple[float, dict[str, float]]:
    """Seconds to all claims Bound, and to the other ends of a runner's life."""
    names = [f"runner-{number}" for number in range(count)]

    def create(name: str) -> None:
        body = {"apiVersion": constants.API_VERSION, "kind": constants.KIND, "metadata": {"name": name}, "spec": {}}
        api.create(STORAGES, body, _NAMESPACE)

    start = time.monotonic()
    _at_once(create, names)
    created = time.monotonic() - start
    _until(lambda: _bound(api) == count, "all claims are bound")
    bound = time.monotonic() - start
    _until(lambda: _ready(api) == count, "all are Ready")
    ready = time.monotonic() - start
    start = time.monotonic()
    for storage in list(api.list(STORAGES, _NAMESPACE)):
        api.delete(STORAGES, storage["metadata"]["name"], storage["metadata"]["uid"], _NAMESPACE)
    _until(lambda: not _count(api, STORAGES, _NAMESPACE), "all are gone")
    return bound, {"created": created, "all Ready": ready, "all deleted in": time.monotonic() - start}


def _binder(api: Client, count: int) -> float:
    """Seconds that the cluster's own binder needs, in the order of writes that is fastest for it."""
    identities = [Identity(_NAMESPACE, f"plain-{number}", Uid(_NO_UID.format(number))) for number in range(count)]
    spec, template = StorageSpec(), VolumeTemplate("hostPath", "/nonexistent")

    def create(identity: Identity) -> None:
        claim = build_claim(identity, spec, VolumeBindingMode.IMMEDIATE)
        del claim["metadata"]["ownerReferences"]
        made = api.create(CLAIMS, claim, _NAMESPACE)
        if made is None:
            raise RuntimeError(f"claim {identity.name} exists already")
        api.create(VOLUMES, build_volume(identity, spec, template, made, "bench"))

    start = time.monotonic()
    _at_once(create, identities)
    _until(lambda: _bound(api) == count, "all claims are bound")
    return time.monotonic() - start


def _at_once(do: Callable[[T], None], items: list[T]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(do, items))


def _bound(api: Client) -> int:
    return sum(claim.get("status", {}).get("phase") == "Bound" for claim in api.list(CLAIMS, _NAMESPACE))


def _ready(api: Client) -> int:
    return sum(storage.get("status", {}).get("phase") == "Ready" for storage in api.list(STORAGES, _NAMESPACE))


def _count(api: Client, resource: Resource, namespace: str) -> int:
    return sum(1 for _ in api.list(resource, namespace))


def _until(holds: Callable[[], bool], what: str) -> None:
    eventually(holds, seconds=600, what=what)
