"""Where a node's programs come from: Debian's own packages, unpacked beside the system and not installed.

So what else this machine has under the same names (a container engine's newer containerd, a busybox that needs
shared libraries) decides nothing, and stays as it is. Not responsible for locking or caching: that is `build`'s.
"""

from __future__ import annotations

from pathlib import Path

from tools.cluster.apt import PrivateApt, system_mirror
from tools.cluster.errors import ClusterError
from tools.cluster.progress import StepLog

__all__ = ["PROGRAMS", "STEPS", "make"]

STEPS = 2

_PACKAGES = {
    "containerd": ("usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr"),
    "runc": ("usr/sbin/runc",),
    "containernetworking-plugins": tuple(
        f"usr/lib/cni/{name}" for name in ("host-local", "loopback", "portmap", "ptp")
    ),
    "busybox-static": ("bin/busybox",),
}
PROGRAMS = tuple(Path(path).name for paths in _PACKAGES.values() for path in paths)


def make(work: Path, out: Path, progress: StepLog, log: Path) -> str:
    """Fill `out` with PROGRAMS; returns the code name of the Debian that they are of. Takes seconds."""
    _, codename = system_mirror()
    progress.step("reading the system's package lists")
    apt = PrivateApt.from_system(work / "apt", progress, log)
    apt.update()
    progress.step(f"fetching {', '.join(_PACKAGES)}")
    root = work / "root"
    apt.unpack(list(_PACKAGES), work / "downloads", root)
    for package, paths in _PACKAGES.items():
        for path in paths:
            # Debian moves its programs from /bin to /usr/bin, one release and package after the other.
            found = [place for place in (root / path, root / "usr" / path) if place.is_file()]
            if not found:
                raise ClusterError(f"Debian {codename}'s package {package} has no {path}")
            found[0].rename(out / found[0].name)
    return codename
