"""How a base for the operator's image is made where no registry answers: a minimal Debian with Python.

From the packages that the system itself is made of. Not responsible for locking or caching: that is `build`'s.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.cluster.apt import PrivateApt, system_mirror
from tools.cluster.progress import StepLog

__all__ = ["FILES", "STEPS", "make"]

STEPS = 3
FILES = ("base.tar",)

_PACKAGES = "python3,python3-venv,ca-certificates"
_NOT_NEEDED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)


def make(work: Path, out: Path, progress: StepLog, log: Path) -> str:
    """Fill `out` with FILES, a root file system; returns its Debian's code name. Takes a minute and root."""
    mirror, codename = system_mirror()
    progress.step("looking for debootstrap")
    if shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        apt = PrivateApt.from_system(work / "apt", progress, log)
        apt.update()
        apt.install(["debootstrap"])
    progress.step(f"unpacking a minimal Debian {codename} with Python")
    root = work / "root"
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", codename, str(root), mirror]
    progress.run(bootstrap, log=log)
    progress.step("leaving out documentation and package lists")
    for name in _NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    # What is bound to this machine; a container engine brings its own.
    for name in ("etc/resolv.conf", "etc/hostname"):
        (root / name).unlink(missing_ok=True)
    progress.run(
        ["tar", "--create", "--numeric-owner", f"--file={out / FILES[0]}", f"--directory={root}", "."], log=log
    )
    return codename
