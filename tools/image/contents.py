"""What is in an image, read out of the archive that `docker save` writes, without running anything."""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

_TOOLS: Final = {"gcc", "cc", "c++", "g++", "clang", "ld", "as", "make", "pip", "pip3", "go", "rustc"}
_PROGRAMS: Final = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/metrics-storage/bin")
_OURS: Final = PurePosixPath("opt/metrics-storage")


@dataclass(frozen=True)
class Contents:
    """An image's configuration, and the size in bytes of every file that is in the end there, by path."""

    config: dict[str, Any]
    files: dict[str, int] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    @property
    def ours(self) -> int:
        """Bytes of what the Dockerfile adds to the base."""
        return sum(size for path, size in self.files.items() if _OURS in PurePosixPath(path).parents)

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The largest Python packages that were added, in bytes."""
        sizes: dict[str, int] = defaultdict(int)
        for path, size in self.files.items():
            parts = PurePosixPath(path).parts
            if "site-packages" in parts:
                sizes[parts[parts.index("site-packages") + 1]] += size
        return sorted(sizes.items(), key=lambda item: -item[1])[:count]

    def faults(self) -> Iterator[str]:
        """What must not be in the image, or misses."""
        for path in sorted(self.files):
            pure = PurePosixPath(path)
            if str(pure.parent) in _PROGRAMS and pure.name in _TOOLS:
                yield f"/{path} builds or installs programs"
        if not self.config.get("User", "").replace(":", "").isdigit():
            yield f"its user {self.config.get('User')!r} is no number"
        if self.config.get("Entrypoint") != ["metrics-storage"]:
            yield f"its entry point is {self.config.get('Entrypoint')!r}"
        if f"{_OURS}/bin/metrics-storage" not in self.files:
            yield "it has no metrics-storage"


def read_contents(archive: Path) -> Contents:
    """Read an archive that `docker save` or buildah wrote."""
    with tarfile.open(archive) as image:
        (manifest,) = json.loads(_read(image, "manifest.json"))
        config = json.loads(_read(image, manifest["Config"]))["config"]
        files: dict[str, int] = {}
        for layer in manifest["Layers"]:
            # Layers may be links to one another.
            content = image.extractfile(layer)
            assert content is not None
            with tarfile.open(fileobj=content) as entries:
                _apply(files, entries)
    return Contents(config, files)


def _apply(files: dict[str, int], layer: tarfile.TarFile) -> None:
    """Put a layer on top: a file named `.wh.x` takes x away."""
    for entry in layer:
        path = entry.name.removeprefix("./").strip("/")
        parent, _, name = path.rpartition("/")
        if name.startswith(".wh."):
            gone = f"{parent}/{name.removeprefix('.wh.')}".lstrip("/")
            for known in [known for known in files if known == gone or known.startswith(f"{gone}/")]:
                del files[known]
        elif not entry.isdir():
            files[path] = entry.size


def _read(image: tarfile.TarFile, name: str) -> bytes:
    content = image.extractfile(name)
    assert content is not None
    return content.read()
