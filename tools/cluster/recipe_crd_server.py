"""How a current apiextensions-apiserver, the server of custom resources, is made from Debian unstable.

Library packages and compiler are unpacked into a folder, nothing is installed. Not responsible for locking
or caching: that is `build`'s.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.apt import PrivateApt
from tools.cluster.errors import ClusterError
from tools.cluster.progress import StepLog

__all__ = ["PROGRAMS", "STEPS", "GoTree", "compiler_packages", "library_packages", "make", "unpack"]

STEPS = 5
PROGRAMS = ("apiextensions-apiserver",)

_LIBRARY = "golang-k8s-apiextensions-apiserver-dev"
_PACKAGE = "k8s.io/apiextensions-apiserver"


@dataclass(frozen=True)
class GoTree:
    """An unpacked compiler with the libraries of custom resources' server, of which `version` is that server's."""

    goroot: Path
    environment: dict[str, str]
    version: str

    def build(self, package: str, program: Path, progress: StepLog, log: Path) -> None:
        """Compile a package, or a folder by its path, into `program`."""
        progress.run(
            [str(self.goroot / "bin/go"), "build", "-v", "-ldflags=-s -w", "-o", str(program), package],
            log=log,
            cwd=program.parent,
            env=self.environment,
        )


def make(work: Path, out: Path, progress: StepLog, log: Path) -> str:
    """Fill `out` with PROGRAMS; returns the version. Takes minutes and 4 GB in `work`."""
    tree = unpack(work, progress, log)
    progress.step(f"compiling apiextensions-apiserver {tree.version}; this takes some minutes")
    tree.build(_PACKAGE, out / PROGRAMS[0], progress, log)
    progress.step("keeping the program, deleting the rest")
    return tree.version


def unpack(work: Path, progress: StepLog, log: Path) -> GoTree:
    """Fetch and unpack libraries and compiler below `work`; three steps."""
    progress.step("reading the package lists of Debian unstable")
    apt = PrivateApt.from_system(work / "apt", progress, log, suite="unstable")
    apt.update()
    progress.step(f"resolving {_LIBRARY} and the Go compiler")
    libraries = library_packages(apt.closure(_LIBRARY))
    compiler = compiler_packages(apt.closure("golang-go"))
    progress.step(f"fetching and unpacking {len(libraries)} library packages and {', '.join(compiler)}")
    root = work / "root"
    apt.unpack([*libraries, *compiler], work / "downloads", root)
    goroot = _go(root)
    return GoTree(goroot, _environment(work, root, goroot), _version(work / "downloads"))


def library_packages(closure: list[str]) -> list[str]:
    """The Go libraries among resolved packages; the rest (C library, compilers, …) is not compiled."""
    chosen = [name for name in closure if re.fullmatch(r"golang-.+-dev", name)]
    if _LIBRARY not in chosen:
        raise ClusterError(f"apt resolved {len(closure)} packages, {_LIBRARY} is not among them")
    return chosen


def compiler_packages(closure: list[str]) -> list[str]:
    """The versioned compiler and its standard library among resolved packages, golang-1.27-go and -src."""
    chosen = sorted(name for name in closure if re.fullmatch(r"golang-\d+\.\d+-(go|src)", name))
    if len(chosen) != 2:
        raise ClusterError(f"expected one versioned Go compiler and its -src package, apt resolved {chosen}")
    return chosen


def _version(downloads: Path) -> str:
    names = [path.name for path in downloads.glob(f"{_LIBRARY}_*.deb")]
    match = re.match(rf"{_LIBRARY}_(?:\d+%3a)?(\d+\.\d+\.\d+)", names[0]) if len(names) == 1 else None
    if match is None:
        raise ClusterError(f"expected one file like {_LIBRARY}_0.36.4-1_all.deb, found {names}")
    return match[1]


def _go(root: Path) -> Path:
    """The unpacked compiler's folder, its GOROOT; checked to run on this system's C library."""
    found = sorted((root / "usr/lib").glob("go-*/bin/go"))
    if len(found) != 1:
        raise ClusterError(f"expected one Go compiler in {root}/usr/lib, found {len(found)}")
    goroot = found[0].parent.parent
    # Debian splits GOROOT in two packages joined by absolute links, which do not hold below `root`.
    _mend_links(goroot, root)
    try:
        subprocess.run(
            [str(found[0]), "version"],
            env={**os.environ, "GOROOT": str(goroot)},
            check=True,
            capture_output=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise ClusterError(f"the Go compiler of Debian unstable does not run on this system: {exc}") from exc
    return goroot


def _mend_links(goroot: Path, root: Path) -> None:
    for link in goroot.iterdir():
        if not link.is_symlink():
            continue
        target = os.readlink(link)
        if os.path.isabs(target):
            link.unlink()
            link.symlink_to(root / target.lstrip("/"))


def _environment(work: Path, root: Path, goroot: Path) -> dict[str, str]:
    return {
        **os.environ,
        "GOROOT": str(goroot),
        "GOPATH": str(root / "usr/share/gocode"),
        "GO111MODULE": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GOCACHE": str(work / "go-cache"),
        "CGO_ENABLED": "0",
    }
