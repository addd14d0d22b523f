"""Builds the image unless one of the same inputs is in the cache."""

import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.cluster.binaries import cache_directory
from tools.cluster.build import ensure
from tools.cluster.progress import StepLog
from tools.image import builders, pip_settings
from tools.image.builders import ROOT, Order
from tools.image.contents import Contents, read_contents
from tools.image.errors import ImageError

_INPUTS: Final = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "operator",
)
_KEPT: Final = 2
"""Images in the cache, the newest."""


@dataclass(frozen=True)
class BuiltImage:
    """An image: its tag, its archive as `docker save` writes it, and what is in it."""

    tag: str
    archive: Path
    contents: Contents


def ensure_image(*, builder: str | None = None, base: str = "auto", again: bool = False) -> BuiltImage:
    """The image of this source tree, built now unless it is in the cache.

    Args:
        builder: docker, podman or buildah; None for the first that answers.
        base: `auto` for the Dockerfile's where there is a container engine, else `debian`, which is made from
            the system's packages; or the name of an image.
        again: build in any case.

    Raises:
        ImageError, ClusterError: a step failed, or the image is not what it must be.
    """
    tag = f"metrics-storage-operator:{_version()}"
    chosen = builders.choose(builder)
    if base == "auto":
        base = "debian" if chosen == "buildah" else ""
    cache = cache_directory()
    archive = cache / f"image-{_digest(chosen, base)}.tar"
    if again or not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _build(chosen, base, tag, archive)
    os.utime(archive)
    for old in sorted(cache.glob("image-*.tar"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
    contents = read_contents(archive)
    if faults := list(contents.faults()):
        raise ImageError(f"the image {tag} is not as it must be: {'; '.join(faults)}")
    return BuiltImage(tag, archive, contents)


def _build(builder: str, base: str, tag: str, archive: Path) -> None:
    source: str | Path = ensure("image-base") / "base.tar" if base == "debian" else base
    progress = StepLog("image", 1)
    log = cache_directory() / "image.log"
    log.unlink(missing_ok=True)
    progress.step(f"building {tag} with {builder}; log: {log}")
    with tempfile.TemporaryDirectory(prefix="building-image-", dir=archive.parent) as directory:
        settings = pip_settings.read_settings()
        secrets = {"pip": Path(directory, "pip.conf")}
        secrets["pip"].touch(mode=0o600)
        secrets["pip"].write_text(pip_settings.render(settings))
        if authorities := pip_settings.certificates(settings):
            secrets["ca"] = authorities
        finished = Path(directory, "image.tar")
        builders.build(builder, Order(tag, source, secrets, finished), progress, log)
        shutil.move(finished, archive)
    progress.say(f"done: {archive}")


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def _digest(*choices: str) -> str:
    digest = hashlib.sha256("\0".join(choices).encode())
    for path in _files():
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode:o}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for name in _INPUTS:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)
