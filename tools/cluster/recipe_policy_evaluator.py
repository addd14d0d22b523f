"""How a program that evaluates admission policies is made: the API server's own plugin, from Debian unstable.

Its source is in `policy_evaluator`; compiler and libraries are those of `recipe_crd_server`, whose
packages include the plugin. Not responsible for locking or caching: that is `build`'s.
"""

from __future__ import annotations

from pathlib import Path

from tools.cluster import recipe_crd_server
from tools.cluster.progress import StepLog

__all__ = ["PROGRAMS", "SOURCE", "STEPS", "make"]

STEPS = 5
PROGRAMS = ("policy-evaluator",)

SOURCE = Path(__file__).with_name("policy_evaluator") / "main.go"


def make(work: Path, out: Path, progress: StepLog, log: Path) -> str:
    """Fill `out` with PROGRAMS; returns the libraries' version. Takes minutes and 4 GB in `work`."""
    tree = recipe_crd_server.unpack(work, progress, log)
    progress.step(f"compiling the policy evaluator with k8s.io/apiserver {tree.version}; this takes some minutes")
    tree.build(str(SOURCE), out / PROGRAMS[0], progress, log)
    progress.step("keeping the program, deleting the rest")
    return tree.version
