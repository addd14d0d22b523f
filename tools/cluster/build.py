"""Builds the programs of local clusters once and caches them: one builder at a time, all or nothing.

A build happens in a folder called `building-…` that is renamed when it is complete. Not responsible for
the steps: those are the recipes' (`recipe_…`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import (
    recipe_control_plane,
    recipe_crd_server,
    recipe_image_base,
    recipe_node_programs,
    recipe_policy_evaluator,
)
from tools.cluster.binaries import (
    CONTROL_PLANE,
    CRD_SERVER,
    IMAGE_BASE,
    NODE_PROGRAMS,
    POLICY_EVALUATOR,
    cache_directory,
    cached,
)
from tools.cluster.errors import ClusterError
from tools.cluster.progress import StepLog

__all__ = ["RECIPES", "Recipe", "ensure"]

_WAITING_NOTE = 15.0  # seconds between two notes of a builder that waits for another


@dataclass(frozen=True)
class Recipe:
    """How one set of files is made, mostly programs.

    `make(work, out, progress, log)` does `steps` steps in the empty folder `work`, leaves the files in
    the folder `out`, and returns their version.
    """

    name: str
    steps: int
    files: tuple[str, ...]
    make: Callable[[Path, Path, StepLog, Path], str]


RECIPES = {
    "control-plane": Recipe(
        CONTROL_PLANE, recipe_control_plane.STEPS, recipe_control_plane.PROGRAMS, recipe_control_plane.make
    ),
    "crd-server": Recipe(CRD_SERVER, recipe_crd_server.STEPS, recipe_crd_server.PROGRAMS, recipe_crd_server.make),
    "policy-evaluator": Recipe(
        *(POLICY_EVALUATOR, recipe_policy_evaluator.STEPS),
        *(recipe_policy_evaluator.PROGRAMS, recipe_policy_evaluator.make),
    ),
    "image-base": Recipe(IMAGE_BASE, recipe_image_base.STEPS, recipe_image_base.FILES, recipe_image_base.make),
    "node-programs": Recipe(
        NODE_PROGRAMS, recipe_node_programs.STEPS, recipe_node_programs.PROGRAMS, recipe_node_programs.make
    ),
}


def ensure(what: str, *, again: bool = False, out: StepLog | None = None) -> Path:
    """The folder with the programs of a recipe, built now unless cached (`again`: built in any case).

    Raises ClusterError when a step fails; nothing unfinished is ever returned or left.
    """
    recipe = RECIPES[what]
    if not again and (found := cached(recipe.name)):
        return found
    progress = out or StepLog(what, recipe.steps)
    with _alone(progress):
        # Another builder may have finished while this one waited.
        if not again and (found := cached(recipe.name)):
            return found
        return _build(recipe, progress)


def _build(recipe: Recipe, progress: StepLog) -> Path:
    cache = cache_directory()
    for left in cache.glob("building-*"):
        # Of an interrupted build: this one holds the lock.
        shutil.rmtree(left)
    log = cache / f"{recipe.name}.log"
    log.unlink(missing_ok=True)
    progress.say(f"building once for this machine, log: {log}")
    work = cache / f"building-{recipe.name}"
    out = work / "out"
    out.mkdir(parents=True)
    try:
        version = recipe.make(work, out, progress, log)
        missing = [name for name in recipe.files if not (out / name).is_file()]
        if missing:
            raise ClusterError(f"{progress.job}: the build made no {', '.join(missing)}; see {log}")
        final = cache / f"{recipe.name}-{version}-{platform.machine()}"
        if final.exists():
            # Only after an explicit `--again`. Processes that run from there keep their open files.
            final.rename(work / "replaced")
        out.rename(final)
        # The rename keeps the time of the folder's last change, by which the newest build is found.
        os.utime(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = sum(file.stat().st_size for file in final.iterdir()) / 1e6
    progress.say(f"done, {size:.0f} MB in {final}")
    return final


@contextlib.contextmanager
def _alone(progress: StepLog) -> Iterator[None]:
    """Hold the cache's lock, saying so while another builder holds it."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("a+") as lock:
        noted = -_WAITING_NOTE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if progress.elapsed - noted >= _WAITING_NOTE:
                    noted = progress.elapsed
                    lock.seek(0)
                    progress.say(f"waiting for another build (process {lock.read().strip() or 'unknown'})")
                time.sleep(0.5)
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield
