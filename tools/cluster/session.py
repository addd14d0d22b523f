"""Opens the cluster of a test session with whichever provider was chosen.

Not responsible for detached clusters (`up`, `down`): those are the command line's.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.cluster import kind, local
from tools.cluster.choice import Choice, Wish, allowed_contexts, check_context
from tools.cluster.control_plane import Flags
from tools.cluster.errors import ClusterError
from tools.cluster.handle import Cluster, find_kubectl

__all__ = ["existing_cluster", "open_cluster"]


@contextlib.contextmanager
def open_cluster(wish: Wish, choice: Choice, flags: Flags | None = None, *, nodes: int = 0) -> Iterator[Cluster]:
    """The chosen cluster for the time of the `with` block; `flags` and `nodes` are for the provider "local" only.

    What was started here is ended here; an existing cluster stays as the tests leave it.
    """
    if choice.provider == "kubeconfig":
        yield existing_cluster(wish, choice.reason)
    elif choice.provider == "kind":
        with kind.session_cluster(choice.reason) as cluster:
            yield cluster
    else:
        with local.session_cluster(choice.reason, flags, nodes=nodes) as cluster:
            yield cluster


def existing_cluster(wish: Wish, reason: str) -> Cluster:
    """The handle of a cluster that somebody else runs; refused unless `choice` allows its context."""
    if wish.kubeconfig is None or not wish.kubeconfig.is_file():
        raise ClusterError(f"the kubeconfig {wish.kubeconfig} does not exist: check --cluster-kubeconfig")
    context = check_context(_parse(wish.kubeconfig), wish.context, allowed_contexts(wish.allow))
    cluster = Cluster("kubeconfig", wish.kubeconfig, context, reason)
    answer = cluster.kubectl("get", "--raw", "/readyz", "--request-timeout=10s", check=False)
    if answer.returncode != 0:
        raise ClusterError(f"the cluster of context {context!r} does not answer: {answer.stderr.strip()}")
    return cluster


def _parse(path: Path) -> dict[str, Any]:
    # By kubectl, which reads it exactly as it will be used, and without secrets.
    argv = [str(find_kubectl()), f"--kubeconfig={path}", "config", "view", "-o", "json"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{path} is no kubeconfig: {done.stderr.strip()}")
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed
