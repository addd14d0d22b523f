"""Where the programs of the local cluster are: an environment's own, or built once and cached.

Knows the cache's layout, `<cache>/metrics-storage/<recipe>-<version>-<machine>/`. Not responsible for
building: that is `build.py`, which is imported only when something has to be built.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.errors import ClusterError

__all__ = ["Binaries", "cache_directory", "cached", "find_binaries", "node_programs", "parse_version"]

# The number is raised when a recipe changes, so that results of the older one are not taken.
CONTROL_PLANE = "control-plane-r1"
CRD_SERVER = "crd-server-r1"
POLICY_EVALUATOR = "policy-evaluator-r1"
IMAGE_BASE = "image-base-r1"
NODE_PROGRAMS = "node-programs-r1"

_NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager")


@dataclass(frozen=True)
class Binaries:
    """A directory with etcd, kube-apiserver and kube-controller-manager, and their Kubernetes version."""

    directory: Path
    version: tuple[int, int]  # major, minor
    origin: str

    def path(self, name: str) -> Path:
        return self.directory / name


def cache_directory() -> Path:
    """The project's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "metrics-storage"


def cached(recipe: str) -> Path | None:
    """The newest finished build of a recipe for this machine; None when there is none."""
    # Unfinished builds have other names (`building-…`) and become finished ones only by being renamed.
    found = cache_directory().glob(f"{recipe}-*-{platform.machine()}")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def node_programs() -> Path:
    """The directory with containerd, runc, network plugins and busybox: from the cache, else fetched now.

    Raises ClusterError where that is not possible.
    """
    directory = cached(NODE_PROGRAMS)
    if directory is None:
        from tools.cluster.build import ensure

        directory = ensure("node-programs")
    return directory


def find_binaries() -> Binaries:
    """KUBEBUILDER_ASSETS if set, else the cache, else build them now (minutes, reported while it lasts).

    Raises ClusterError when KUBEBUILDER_ASSETS is incomplete or the build fails.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        missing = [name for name in _NEEDED if not os.access(Path(assets) / name, os.X_OK)]
        if missing:
            raise ClusterError(
                f"KUBEBUILDER_ASSETS={assets} has no {', '.join(missing)} (envtest's own download leaves out "
                "kube-controller-manager, without which no claim is bound): put them there, or unset the "
                "variable to have all of them built from Debian's sources"
            )
        return Binaries(Path(assets), _version(Path(assets)), "KUBEBUILDER_ASSETS")
    directory = cached(CONTROL_PLANE)
    if directory is None:
        from tools.cluster.build import ensure

        directory = ensure("control-plane")
    return Binaries(directory, _version(directory), "built from Debian's sources")


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of what `kube-apiserver --version` prints, e.g. "Kubernetes v1.20.2"."""
    match = re.search(r"\bv(\d+)\.(\d+)", text)
    if match is None:
        raise ClusterError(f"kube-apiserver --version said {text.strip()!r}: expected something like v1.20.2")
    return int(match[1]), int(match[2])


def _version(directory: Path) -> tuple[int, int]:
    binary = directory / "kube-apiserver"
    try:
        done = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        raise ClusterError(f"{binary} --version cannot be run on this machine: {exc}") from exc
    return parse_version(done.stdout)
