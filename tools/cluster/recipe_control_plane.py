"""How etcd, the Kubernetes control plane and the kubelet are made from Debian's packages.

Kubernetes is compiled from Debian's source package, etcd taken from its binary package. Not responsible for
locking or caching: that is `build`'s.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tools.cluster.apt import PrivateApt
from tools.cluster.errors import ClusterError
from tools.cluster.progress import StepLog

__all__ = ["PROGRAMS", "STEPS", "kubernetes_version", "make"]

STEPS = 5
_COMPILED = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
PROGRAMS = ("etcd", *_COMPILED)

_TOOLS = ("golang-go", "make", "rsync", "jq", "dpkg-dev")
_REFLECT2 = "github.com/modern-go/reflect2"


def make(work: Path, out: Path, progress: StepLog, log: Path) -> str:
    """Fill `out` with PROGRAMS; returns the Kubernetes version. Takes minutes and 3 GB in `work`."""
    progress.step("reading Debian's package lists")
    apt = PrivateApt.from_system(work / "apt", progress, log, types="deb deb-src")
    apt.update()
    progress.step(f"compiler and tools: {', '.join(_TOOLS)}")
    apt.install(_TOOLS)
    progress.step("fetching the source of kubernetes, and etcd")
    tree = apt.source("kubernetes", work / "source")
    packages = work / "packages"
    apt.unpack(("etcd-server", "golang-github-modern-go-reflect2-dev"), work / "downloads", packages)
    _replace_reflect2(tree, packages)
    progress.step(f"compiling {', '.join(_COMPILED)}; this takes some minutes")
    _compile(tree, progress, log)
    progress.step("keeping the programs, deleting the rest")
    shutil.copy2(packages / "usr/bin/etcd", out / "etcd")
    for name in _COMPILED:
        # `_output/bin` links to the folder of the machine's platform.
        shutil.copy2(tree / "_output/bin" / name, out / name)
    return kubernetes_version(tree.name)


def kubernetes_version(folder: str) -> str:
    """The upstream version in a source folder's name: 1.20.2 of kubernetes-1.20.5+really1.20.2."""
    match = re.search(r"(?:really|-)(\d+\.\d+\.\d+)$", folder)
    if match is None:
        raise ClusterError(f"source folder {folder!r}: expected a name like kubernetes-1.20.5+really1.20.2")
    return match[1]


def _replace_reflect2(tree: Path, packages: Path) -> None:
    """Put Debian's reflect2 1.0.2 in place of the vendored 1.0.1.

    That one corrupts memory when compiled by Go 1.18 or newer: the API server dies of SIGSEGV under load.
    """
    vendored = tree / "vendor" / _REFLECT2
    debian = packages / "usr/share/gocode/src" / _REFLECT2
    if not (debian / "reflect2.go").is_file() or not vendored.is_dir():
        raise ClusterError(f"cannot replace {vendored} by {debian}: Debian's packages have another layout now")
    for old in (*vendored.glob("*.go"), *vendored.glob("*.s")):
        old.unlink()
    for new in (*debian.glob("*.go"), *debian.glob("*.s")):
        shutil.copy2(new, vendored / new.name)


def _compile(tree: Path, progress: StepLog, log: Path) -> None:
    # The makefiles of this version expect the tree inside a GOPATH, as Debian's own rules arrange it.
    gopath = tree / ".go"
    inside = gopath / "src/k8s.io"
    inside.mkdir(parents=True)
    (inside / "kubernetes").symlink_to(tree)
    environment = {
        **os.environ,
        "HOME": str(tree.parent),  # Go's build cache goes there, and away with it
        "XDG_CACHE_HOME": str(tree.parent / "cache"),
        "GOPATH": str(gopath),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
    }
    environment.pop("GOROOT", None)
    targets = " ".join(f"cmd/{name}" for name in _COMPILED)
    # -v names each package as it is compiled: the heartbeat shows it.
    argv = ["make", f"WHAT={targets}", "GOFLAGS=-v"]
    progress.run(argv, log=log, cwd=inside / "kubernetes", env=environment)
