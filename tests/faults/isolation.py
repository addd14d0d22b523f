"""A place where everything vanishes with the process: own mounts, own processes, files in memory.

The program replaces itself by `unshare`, which runs it again in a mount and a process namespace of its own. Kill
that by any means, and the kernel ends every process in it, unmounts every file system and frees every loop device.
"""

import ctypes
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_INSIDE: Final = "METRICS_STORAGE_FAULTS_INSIDE"
_PLACE: Final = Path("/mnt")
"""Any directory that exists everywhere; what the machine has there is not changed, only covered for us."""

_ADMINISTRATION: Final = "/usr/sbin:/sbin"


def enter(module: str, arguments: Sequence[str]) -> Path:
    """Continue in the namespaces; returns an empty directory in memory there.

    Raises:
        PermissionError: only root can mount.
    """
    if os.geteuid() != 0:
        raise PermissionError("mounting file systems and killing their power needs root: run this with sudo")
    if _INSIDE not in os.environ:
        unshare = shutil.which("unshare")
        if unshare is None:
            raise FileNotFoundError("unshare (package util-linux) is not installed")
        os.environ[_INSIDE] = "1"
        os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{_ADMINISTRATION}"
        own = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        os.execv(unshare, [unshare, *own, sys.executable, "-m", module, *arguments])  # noqa: S606
    if ctypes.CDLL(None, use_errno=True).mount(b"tmpfs", os.fsencode(_PLACE), b"tmpfs", 0, b"mode=0700") != 0:
        raise OSError(ctypes.get_errno(), f"mounting memory on {_PLACE}")
    return _PLACE
