"""The builders: docker, podman and buildah, each with its own words for the same steps."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.cluster.apt import PrivateApt
from tools.cluster.progress import StepLog
from tools.image.errors import ImageError
from tools.image.relabel import relabel

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = ("docker", "podman", "buildah")

_CHECKS: Final = {"docker": (("info",), ("buildx", "version")), "podman": (("info",),)}
"""Commands that work where an engine can build this: its daemon answers, and it mounts secrets."""

_SECONDS: Final = 60.0
_BASE_TAG: Final = "metrics-storage-base:local"


@dataclass(frozen=True)
class Order:
    """What is to be built: `base` is an image's name, or the path of a root file system as a tar archive."""

    tag: str
    base: str | Path
    secrets: Mapping[str, Path]
    output: Path


def choose(wish: str | None) -> str:
    """The builder to use: the wished one, else the first that answers, else buildah, which can be installed."""
    if wish is not None:
        return wish
    for engine, checks in _CHECKS.items():
        if shutil.which(engine) and all(_works([engine, *check]) for check in checks):
            return engine
    return "buildah"


def build(builder: str, order: Order, progress: StepLog, log: Path) -> None:
    """Build the Dockerfile, and write the image to `order.output` as `docker save` writes it.

    Raises ClusterError or ImageError, with what the builder said, when it fails.
    """
    if builder == "buildah":
        _build_with_buildah(order, progress, log)
    else:
        _build_with_engine(builder, order, progress, log)


def _build_with_engine(engine: str, order: Order, progress: StepLog, log: Path) -> None:
    base = order.base
    if isinstance(base, Path):
        progress.run([engine, "import", str(base), _BASE_TAG], log=log)
        base = _BASE_TAG
    progress.run([engine, "build", *_arguments(order, base), str(ROOT)], log=log)
    progress.run([engine, "save", f"--output={order.output}", order.tag], log=log)
    if engine == "podman":
        # Which puts it under localhost/, where no kubelet looks for a name without a registry.
        saved = order.output.rename(order.output.with_suffix(".saved"))
        relabel(saved, order.output, order.tag, {})
        saved.unlink()


def _build_with_buildah(order: Order, progress: StepLog, log: Path) -> None:
    """In a storage of its own, so that nobody's images are touched and nothing of it stays."""
    _require_buildah(progress, log)
    with tempfile.TemporaryDirectory(prefix="metrics-storage-image-") as directory:
        buildah = ["buildah", f"--root={directory}/root", f"--runroot={directory}/run", "--storage-driver=overlay"]
        try:
            base = order.base
            if isinstance(base, Path):
                container = _output([*buildah, "from", "scratch"]).strip()
                progress.run([*buildah, "add", "--quiet", container, str(base), "/"], log=log)
                progress.run([*buildah, "config", "--cmd=python3", container], log=log)
                progress.run([*buildah, "commit", "--quiet", "--rm", container, _BASE_TAG], log=log)
                base = f"localhost/{_BASE_TAG}"
            arguments = ["--isolation=chroot", "--pull-never", *_arguments(order, base)]
            progress.run([*buildah, "build", *arguments, str(ROOT)], log=log)
            order.output.unlink(missing_ok=True)
            target = f"docker-archive:{order.output}:{order.tag}"
            progress.run([*buildah, "push", "--quiet", order.tag, target], log=log)
        finally:
            subprocess.run([*buildah, "rm", "--all"], capture_output=True, check=False)


def _arguments(order: Order, base: str) -> list[str]:
    secrets = [f"--secret=id={name},src={path}" for name, path in order.secrets.items()]
    # An empty argument would take the place of the Dockerfile's default.
    chosen = [f"--build-arg=BASE_IMAGE={base}"] if base else []
    return [*chosen, f"--tag={order.tag}", *secrets]


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _require_buildah(progress: StepLog, log: Path) -> None:
    if shutil.which("buildah"):
        if "--secret" not in _output(["buildah", "build", "--help"]):
            raise ImageError("this buildah builds without secrets: install 1.23 or newer, docker or podman")
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ImageError("there is no docker, podman or buildah here: install one of them")
    with tempfile.TemporaryDirectory() as directory:
        apt = PrivateApt.from_system(Path(directory) / "apt", progress, log)
        apt.update()
        apt.install(["buildah"])


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command)} failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
