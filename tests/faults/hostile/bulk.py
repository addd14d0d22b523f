"""Directories that are large in one direction: a million files, ten thousand levels, a tebibyte of holes.

The engine works in processes of its own here, of which time, memory and descriptors are measured and limited; the
tree is made and judged from outside of them.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from metrics_storage.model.identity import Uid
from tests.faults.evidence import against_facts, facts
from tests.faults.evidence.reading import manifest_of
from tests.faults.hostile import stage
from tests.faults.hostile.field import NAME, NAMESPACE, REQUESTED

UID: Final = Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")
_DESCRIPTORS: Final = 96
"""What the engine may have open at once."""

MEMORY_MAX: Final = 256 << 20
_FIXED: Final = 64 << 20
"""Bytes that the interpreter with the engine in it may take, before the first file."""

_MANY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Bulk:
    """A large directory.

    Limits are bytes of memory and of the archive with its manifest, and seconds for each step of the engine.
    """

    name: str
    make: Callable[[int], None]
    entries: int
    file_system: str = "ext4"
    memory: int = MEMORY_MAX
    archive_bytes: int = 1 << 30
    seconds: float = 60
    gnu_tar: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What the engine took for a large directory; `problems` are violations."""

    name: str
    peak_bytes: int
    archive_bytes: int
    seconds: dict[str, float]
    problems: list[str]


def many_files(count: int, *, flat: bool) -> Bulk:
    """Files, all in one directory or a thousand in each; memory is bounded in proportion below a million."""

    def make(fd: int) -> None:
        inner = fd
        for number in range(count):
            if not flat and number % 1000 == 0:
                name = b"%06d" % (number // 1000)
                os.mkdir(name, dir_fd=fd)
                if inner != fd:
                    os.close(inner)
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.mknod(b"file-%07d.json" % number, 0o100644, dir_fd=inner)
        if inner != fd:
            os.close(inner)

    memory = min(MEMORY_MAX, _FIXED + (MEMORY_MAX - _FIXED) * count // _MANY)
    entries = count + 1 + (0 if flat else -(-count // 1000))
    where = "in one directory" if flat else "in directories of a thousand"
    return Bulk(f"{count:,} files {where}", make, entries, "tmpfs", memory, seconds=60 + count / 2000, gnu_tar=not flat)


def levels(count: int) -> Bulk:
    """Directories in each other, with a file in the last."""

    def make(fd: int) -> None:
        inner = os.dup(fd)
        for _ in range(count):
            os.mkdir(b"d", dir_fd=inner)
            below = os.open(b"d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=inner)
            os.close(inner)
            inner = below
        with open(os.open(b"leaf", os.O_WRONLY | os.O_CREAT, dir_fd=inner), "wb") as file:
            file.write(b"at the bottom")
        os.close(inner)

    return Bulk(f"{count:,} levels", make, count + 2, memory=96 << 20, archive_bytes=16 << 20)


def names(count: int) -> Bulk:
    """Short names of one file with attributes, in a directory far down: half a MiB for forty thousand."""

    def make(fd: int) -> None:
        inner = os.dup(fd)
        for _ in range(12):
            os.mkdir(b"d" * 250, dir_fd=inner)
            below = os.open(b"d" * 250, os.O_RDONLY | os.O_DIRECTORY, dir_fd=inner)
            os.close(inner)
            inner = below
        file = os.open(b"0", os.O_WRONLY | os.O_CREAT, dir_fd=inner)
        os.setxattr(file, b"user.mark", bytes(3000))
        os.close(file)
        for number in range(1, count):
            os.link(b"0", b"%x" % number, src_dir_fd=inner, dst_dir_fd=inner)
        os.close(inner)

    return Bulk(f"{count:,} names of one file", make, count + 13, memory=128 << 20, archive_bytes=96 << 20)


def holes(size: int) -> Bulk:
    """One file of holes with a little data in the middle and at the end."""

    def make(fd: int) -> None:
        with open(os.open(b"sparse", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(b"in the middle")
            file.seek(size - 3)
            file.write(b"end")

    return Bulk(f"{size:,} bytes of holes", make, 2, memory=96 << 20, archive_bytes=64 << 10, seconds=10)


def run_bulk(bulk: Bulk, number: int) -> Measured:
    """The whole life of a large directory."""
    root = stage.make_file_system(bulk.file_system, stage.ROOT / f"bulk-{number}")
    storage, quarantine, aside = (root / name for name in ("storage", "quarantine", "aside"))
    for path in (storage, quarantine, aside):
        path.mkdir()
    problems: list[str] = []
    archive, archive_bytes = None, 0
    try:
        first = _engine(storage, quarantine, "ensure")
        fd = os.open(storage / NAMESPACE / f"{NAME}_{UID}", os.O_RDONLY | os.O_DIRECTORY)
        bulk.make(fd)
        then = _engine(storage, quarantine, "measure", "latch", "archive")
        taken = facts.take(fd)
        os.close(fd)
        archives = list((quarantine / NAMESPACE).glob("*.tar.gz"))
        if len(archives) == 1:
            archive, manifest = archives[0], manifest_of(archives[0])
            archive_bytes = archive.stat().st_size + manifest.stat().st_size
            found = against_facts.read(archive)
            problems += found.problems + against_facts.compare(found, taken)
            if len(found.entries) != bulk.entries or not found.clean:
                problems.append(f"{len(found.entries)} entries, clean {found.clean}; expected {bulk.entries}, clean")
            if bulk.gnu_tar:
                problems += against_facts.extract(archive, found, taken, aside)
        last = _engine(storage, quarantine, "remove")
        problems += [f"{path} is left" for path in (storage / ".metrics-storage" / "trash").iterdir()]
    finally:
        stage.unmount(root, lazily=True)
        root.rmdir()
    seconds = first["seconds"] | then["seconds"] | last["seconds"]
    peak = max(told["peak"] for told in (first, then, last))
    problems += first["errors"] + then["errors"] + last["errors"]
    problems += [f"{step} took {took:.1f} s" for step, took in seconds.items() if took > bulk.seconds]
    if archive is None or archive_bytes > bulk.archive_bytes:
        problems.append(f"archive and manifest have {archive_bytes:,} bytes, expected at most {bulk.archive_bytes:,}")
    if peak > bulk.memory:
        problems.append(f"memory went up to {peak >> 20} MiB, expected at most {bulk.memory >> 20}")
    return Measured(bulk.name, peak, archive_bytes, seconds, problems[:10])


def _engine(storage: Path, quarantine: Path, *steps: str) -> dict[str, Any]:
    command = [sys.executable, "-m", __name__, str(storage), str(quarantine), *steps]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    if done.returncode:
        return {"seconds": {}, "peak": 0, "errors": [f"{steps} ended with {done.returncode}: {done.stderr[-500:]}"]}
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> None:
    """Be the engine for some steps, and say what they took."""
    from metrics_storage.engine.archives.local_vault import LocalVault
    from metrics_storage.engine.lifecycle.engine import StorageEngine
    from metrics_storage.engine.volume.volume import Role, Volume
    from metrics_storage.errors import MetricsStorageError
    from metrics_storage.model.identity import Identity
    from metrics_storage.model.spec import StorageSpec

    stage.die_with_parent()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    identity = Identity(NAMESPACE, NAME, UID)
    seconds: dict[str, float] = {}
    errors: list[str] = []
    with ExitStack() as stack:
        storage = stack.enter_context(Volume(Path(sys.argv[1]), Role.STORAGE, initialise=True))
        quarantine = stack.enter_context(Volume(Path(sys.argv[2]), Role.QUARANTINE, initialise=True))
        storage.lock()
        engine = StorageEngine(storage, LocalVault(quarantine))
        steps: dict[str, Callable[[], object]] = {
            "ensure": lambda: engine.ensure(identity, StorageSpec(owner="1000:1000")),
            "measure": lambda: engine.measure(identity),
            "latch": lambda: engine.latch(identity, "large", REQUESTED),
            "archive": lambda: engine.archive(identity),
            "remove": lambda: engine.remove(identity),
        }
        for step in sys.argv[3:]:
            began = time.monotonic()
            try:
                steps[step]()
            except MetricsStorageError as exc:
                errors.append(f"{step}: {type(exc).__name__}: {exc}")
            seconds[step] = round(time.monotonic() - began, 2)
    print(json.dumps({"seconds": seconds, "peak": _peak(), "errors": errors}))


def _peak() -> int:
    """Most memory that this program had, in bytes; getrusage would count what its parent had before, too."""
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
