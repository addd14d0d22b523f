"""Small images for machines without a registry, written by hand: no container engine takes part.

`pause` holds a Pod's namespaces, `runner` is a shell with the usual small programs. Both are archives as
`docker save` writes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.nodes.config import PAUSE_IMAGE

__all__ = ["RUNNER_IMAGE", "write_image", "write_images", "write_runner"]

RUNNER_IMAGE = "runner:local"

_PAUSE = """\
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { (void)number; exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) { } }
int main(void) {
  signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap);
  for (;;) pause();
}
"""


def write_images(directory: Path) -> list[Path]:
    """Archives of both images, in a directory that is made for them."""
    directory.mkdir()
    pause, runner = directory / "pause.tar", directory / "runner.tar"
    _write_pause(pause)
    write_runner(runner)
    return [pause, runner]


def _write_pause(archive: Path) -> None:
    """The image of every Pod's first container; raises ClusterError without a C compiler."""
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory, "pause.c"), Path(directory, "pause")
        source.write_text(_PAUSE)
        try:
            subprocess.run(
                ["cc", "-static", "-Os", "-o", str(program), str(source)], check=True, capture_output=True, timeout=60
            )
        except (OSError, subprocess.SubprocessError) as exc:
            raise ClusterError(f"the pause image needs a C compiler with a static C library: {exc}") from exc
        write_image(archive, PAUSE_IMAGE, {"pause": program.read_bytes()}, ["/pause"])


def write_runner(archive: Path) -> None:
    """An image with a shell, out of Debian's busybox-static; raises ClusterError where that is not installed."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise ClusterError("the runner image needs busybox: apt-get install busybox-static")
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True, timeout=30).stdout.split()
    links = {f"bin/{name}": "busybox" for name in names if name != "busybox"}
    write_image(archive, RUNNER_IMAGE, {"bin/busybox": Path(busybox).read_bytes()}, ["/bin/sh"], links)


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
