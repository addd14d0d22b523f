"""How long it takes from `kubectl apply` of a MetricsStorage and its Pod to the Pod's first written byte.

One runner after the other, on a cluster with one node and the operator as it is shipped; the Pod in one go with its
MetricsStorage, and once that is Ready. Every moment is one on the clock of this machine: when a watch told of it, and
of the byte, when its file was written.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from kubernetes import client, config, watch
from urllib3.exceptions import HTTPError

from tools.cluster import session_cluster
from tools.cluster.local import LocalCluster
from tools.image import ensure_image
from tools.installation.deployment import Operator
from tools.installation.pods import METRICS, objects, wait_phase
from tools.installation.runners import Runners

_NAMESPACE: Final = "bench"
_FIRST: Final = "first"
_WRITE: Final = f"echo > {METRICS}/{_FIRST}"

_APPLIED, _CLAIM, _VOLUME, _BOUND, _POD, _SCHEDULED, _WRITTEN = range(7)
_PARTS: Final = {
    "kubectl and API server": (None, _APPLIED),
    "operator: directory and claim": (_APPLIED, _CLAIM),
    "operator: volume": (_CLAIM, _VOLUME),
    "binding, by the operator": (_VOLUME, _BOUND),
    "client: waits, applies the Pod": (_BOUND, _POD),
    "scheduler": (_POD, _SCHEDULED),
    "kubelet: mount, start, write": (_SCHEDULED, _WRITTEN),
}


def measure(count: int) -> None:
    """Print what was measured with this many runners."""
    image = ensure_image()
    with session_cluster("a benchmark needs a cluster of its own", nodes=1) as cluster:
        cluster.nodes[0].load_image(image.archive)
        operator = Operator(cluster)
        operator.install("base")
        cluster.kubectl("create", "namespace", _NAMESPACE)
        runners = Runners(cluster, _NAMESPACE)
        _round(cluster, runners, "warm-up", wait=False)
        print(f"{count} runners, one after the other, from `kubectl apply` to the Pod's first written byte, seconds:")
        for title, wait in (("both applied in one go", False), ("the Pod applied when Ready", True)):
            rounds = [_round(cluster, runners, f"runner-{wait:d}-{number}", wait=wait) for number in range(count)]
            print(f"  {title:<31}{'median':>8}{'most':>8}")
            for part, (begin, end) in _PARTS.items():
                _print(part, [moments[end] - (moments[begin] if begin is not None else 0) for moments in rounds])
            _print("all", [moments[_WRITTEN] for moments in rounds])


def _print(part: str, seconds: list[float]) -> None:
    print(f"    {part:<29}{statistics.median(seconds):8.2f}{max(seconds):8.2f}", flush=True)


def _round(cluster: LocalCluster, runners: Runners, name: str, *, wait: bool) -> list[float]:
    """Seconds from the beginning to each moment, in order; a moment that came early counts as the one before it."""
    with _Watches(cluster, runners.namespace, name) as seen:
        begin = time.time()
        if wait:
            runners.apply(name)
            runners.kubectl("wait", "--for=condition=Ready", f"mstor/{name}")
        runners.apply_objects(objects(runners, name, script=_WRITE)[wait:])
        wait_phase(runners, name, "Succeeded")
        moments = [seen.moment(number) for number in range(_WRITTEN)]
    path = PurePosixPath(*PurePosixPath(runners.storage(name)["status"]["path"]).parts[-2:], _FIRST)
    (file,) = cluster.nodes[0].var_lib.glob(f"disk-*/{path}")
    moments.append(file.stat().st_mtime)
    runners.kubectl("delete", "pod", name)
    runners.kubectl("delete", "mstor", name)
    in_order = [max(moments[: number + 1]) for number in range(len(moments))]
    return [moment - begin for moment in in_order]


class _Watches:
    """Notes when each moment of one runner was told of; a context manager."""

    def __init__(self, cluster: LocalCluster, namespace: str, name: str) -> None:
        self._name = name
        self._seen: dict[int, float] = {}
        self._all = threading.Condition()
        self._over = False
        api = config.new_client_from_config(str(cluster.kubeconfig), cluster.context)
        core, custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        of_group = ("metricsstorage.dev", "v1", namespace, "metricsstorages")
        self._streams: list[tuple[watch.Watch, Callable[..., Any], tuple[str, ...]]] = [
            (watch.Watch(), custom.list_namespaced_custom_object, of_group),
            (watch.Watch(), core.list_namespaced_persistent_volume_claim, (namespace,)),
            (watch.Watch(), core.list_persistent_volume, ()),
            (watch.Watch(), core.list_namespaced_pod, (namespace,)),
        ]
        self._threads = [threading.Thread(target=self._follow, args=stream, daemon=True) for stream in self._streams]

    def __enter__(self) -> "_Watches":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for stream, _list, _arguments in self._streams:
            stream.stop()

    def moment(self, number: int) -> float:
        """When it was told of, in seconds since the epoch; waits for it."""
        with self._all:
            if not self._all.wait_for(lambda: number in self._seen, timeout=60):
                raise TimeoutError(f"no watch told of moment {number} of {self._name}")
            return self._seen[number]

    def _follow(self, stream: watch.Watch, every: Callable[..., Any], arguments: tuple[str, ...]) -> None:
        try:
            for event in stream.stream(every, *arguments, timeout_seconds=120):
                self._note(event["raw_object"], time.time())
        except HTTPError:
            if not self._over:  # Afterwards the cluster's end is no news.
                raise

    def _note(self, found: Mapping[str, Any], now: float) -> None:
        with self._all:
            for number in _moments_of(found, self._name):
                self._seen.setdefault(number, now)
            self._all.notify_all()


def _moments_of(found: Mapping[str, Any], name: str) -> Iterator[int]:
    """What an object's state says has happened to the runner of this name."""
    kind, metadata = found["kind"], found["metadata"]
    if kind == "PersistentVolume" and found["spec"].get("claimRef", {}).get("name") == name:
        yield _VOLUME
    elif metadata["name"] == name and kind == "MetricsStorage":
        yield _APPLIED
    elif metadata["name"] == name and kind == "PersistentVolumeClaim":
        yield _CLAIM
        if found.get("status", {}).get("phase") == "Bound":
            yield _BOUND
    elif metadata["name"] == name and kind == "Pod":
        yield _POD
        if found["spec"].get("nodeName"):
            yield _SCHEDULED
