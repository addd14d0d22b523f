"""The provider "kind": a cluster in containers, created for a session or detached, under one fixed name.

Every command goes through a runner that unit tests replace. Not responsible for making images.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from tools.cluster.errors import ClusterError
from tools.cluster.handle import Cluster

__all__ = ["CONTEXT", "NAME", "Runner", "down", "exists", "load", "obstacle", "run", "session_cluster", "up"]

NAME = "metrics-storage-test"
CONTEXT = f"kind-{NAME}"
_CONFIG = Path(__file__).with_name("kind.yaml")
_CREATE_SECONDS = 600.0  # includes the download of the node image
_READY = "180s"

Runner = Callable[[Sequence[str], float], "CompletedProcess[str]"]


def run(argv: Sequence[str], timeout: float) -> CompletedProcess[str]:
    """Run a command, at most `timeout` seconds; raises ClusterError when it is absent or takes longer."""
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as exc:
        raise ClusterError(f"there is no program {argv[0]!r} on PATH") from exc
    except subprocess.TimeoutExpired as exc:
        raise ClusterError(f"{' '.join(argv)} did not end within {timeout:g} s") from exc


def obstacle(runner: Runner = run, which: Callable[[str], str | None] = shutil.which) -> str | None:
    """Why kind cannot be used here, as the end of a sentence; None when it can."""
    if which("kind") is None:
        return "there is no kind on PATH"
    # kind's own variable for using podman or nerdctl in place of docker.
    engine = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "docker")
    if which(engine) is None:
        return f"there is no container engine ({engine}) on PATH"
    try:
        answer = runner([engine, "info"], 15)
    except ClusterError as exc:
        return f"the container engine does not answer ({exc})"
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"the container engine does not answer ({engine} info: {reason})"
    return None


def exists(runner: Runner = run) -> bool:
    """Whether the cluster of our name is there."""
    return NAME in _kind(runner, 60, "get", "clusters").stdout.split()


def up(kubeconfig: Path, reason: str, runner: Runner = run) -> tuple[Cluster, str]:
    """Create the cluster unless it exists, write its kubeconfig; returns the handle and what was done."""
    handle = Cluster("kind", kubeconfig, CONTEXT, reason)
    if exists(runner):
        _kind(runner, 60, "export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={kubeconfig}")
        return handle, "it is already up"
    _create(kubeconfig, runner)
    return handle, "started"


def load(archive: Path, runner: Runner = run) -> None:
    """Put an image, as `docker save` writes it, onto the nodes of the cluster of our name."""
    _kind(runner, 300, "load", "image-archive", str(archive), f"--name={NAME}")


def down(runner: Runner = run) -> str:
    """Delete the cluster of our name; says what was done."""
    if not exists(runner):
        return "nothing is up"
    _delete(runner)
    return f"deleted the kind cluster {NAME}"


@contextlib.contextmanager
def session_cluster(reason: str, runner: Runner = run) -> Iterator[Cluster]:
    """A new cluster for the time of the `with` block.

    Raises ClusterError when one of our name exists: it may be in use, and an old one is no clean start.
    """
    if exists(runner):
        raise ClusterError(
            f"a kind cluster {NAME} exists already (of another run, of `up`, or left by a killed run): "
            "delete it by `python -m tools.cluster down --cluster=kind`, or use it by --cluster=kubeconfig"
        )
    with tempfile.TemporaryDirectory(prefix="metrics-storage-kind-") as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        _create(kubeconfig, runner)
        try:
            yield Cluster("kind", kubeconfig, CONTEXT, reason)
        finally:
            _delete(runner)


def _create(kubeconfig: Path, runner: Runner) -> None:
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    try:
        _kind(
            *(runner, _CREATE_SECONDS, "create", "cluster", f"--name={NAME}", f"--config={_CONFIG}"),
            *(f"--kubeconfig={kubeconfig}", f"--wait={_READY}"),
        )
    except BaseException:
        # What was made so far; the first error is the one to tell.
        with contextlib.suppress(ClusterError):
            _delete(runner)
        raise


def _delete(runner: Runner) -> None:
    _kind(runner, 120, "delete", "cluster", f"--name={NAME}")


def _kind(runner: Runner, timeout: float, *arguments: str) -> CompletedProcess[str]:
    done = runner(["kind", *arguments], timeout)
    if done.returncode != 0:
        raise ClusterError(f"kind {' '.join(arguments)} failed with status {done.returncode}: {done.stderr.strip()}")
    return done
