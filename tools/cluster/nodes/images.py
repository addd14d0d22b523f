"""Small images for machines without a registry, written by hand: no container engine takes part.

`pause` holds a Pod's namespaces, `runner` is a shell with the usual small programs. Both are archives as
`docker save` writes them, and have nothing but a static busybox in them.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tools.cluster.binaries import node_programs
from tools.cluster.nodes.config import PAUSE_IMAGE

__all__ = ["RUNNER_IMAGE", "write_image", "write_images", "write_runner"]

RUNNER_IMAGE = "runner:local"

# Ends at once when it is told to, and takes up whatever the Pod's containers leave behind.
_PAUSE = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"


def write_images(directory: Path) -> list[Path]:
    """Archives of both images, in a directory that is made for them."""
    directory.mkdir()
    pause, runner = directory / "pause.tar", directory / "runner.tar"
    _write_busybox(pause, PAUSE_IMAGE, ["/bin/sh", "-c", _PAUSE])
    write_runner(runner)
    return [pause, runner]


def write_runner(archive: Path) -> None:
    """An image with a shell. Raises ClusterError where there is no static busybox for it."""
    _write_busybox(archive, RUNNER_IMAGE, ["/bin/sh"])


def _write_busybox(archive: Path, name: str, entrypoint: list[str]) -> None:
    busybox = node_programs() / "busybox"
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True, timeout=30).stdout.split()
    links = {f"bin/{name}": "busybox" for name in names if name != "busybox"}
    write_image(archive, name, {"bin/busybox": busybox.read_bytes()}, entrypoint, links)


def write_image(
    archive: Path,
    name: str,
    programs: Mapping[str, bytes],
    entrypoint: list[str],
    links: Mapping[str, str] | None = None,
) -> None:
    """An image of one layer with these programs and symbolic links, by their paths without a leading slash."""
    layer = _layer(programs, links or {})
    digest = hashlib.sha256(layer).hexdigest()
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }
    content = json.dumps(image).encode()
    configuration = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": configuration, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(archive, "w") as out:
        for path, data in (
            (configuration, content),
            (f"{digest}/layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            _add(out, path, data, 0o644)


def _layer(programs: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for directory in ("bin", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            out.addfile(entry)
        for path, data in programs.items():
            _add(out, path, data, 0o755)
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            out.addfile(entry)
    return buffer.getvalue()


def _add(out: tarfile.TarFile, path: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(data), mode
    out.addfile(entry, io.BytesIO(data))
