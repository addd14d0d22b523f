"""A directory, its archive and its manifest, for tests of the archive."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metrics_storage.engine.archives.format import (
    ArchiveSummary,
    Header,
    VerifiedArchive,
    compare_source,
    verify_archive,
    write_archive,
)
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.engine.fs.walk import Progress

HEADER = Header(
    cluster="test",
    namespace="runners",
    name="runner-0",
    uid="0b7d3c1e-5a52-4c7b-9f0e-2f1f4b1f2a11",
    node="worker-1",
    reason="pre-job-metrics.json is not JSON",
    attempt=1,
    provisional=False,
    requested_at="2026-01-02T03:04:05Z",
    created_at="2026-01-02T03:04:06Z",
    software={"metrics-storage-operator": "0.1.0"},
)


@dataclass
class Archiving:
    """Archives `source` into two files beside it."""

    root: Path

    def __post_init__(self) -> None:
        self.source.mkdir()

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def archive(self) -> Path:
        return self.root / "a.tar.gz"

    @property
    def manifest(self) -> Path:
        return self.root / "a.manifest.jsonl"

    def write(self, progress: Progress | None = None) -> ArchiveSummary:
        fds = [
            os.open(self.source, os.O_RDONLY | os.O_DIRECTORY),
            os.open(self.archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
            os.open(self.manifest, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
        ]
        try:
            return write_archive(fds[0], fds[1], fds[2], HEADER, progress=progress)
        finally:
            close(fds)

    def verify(self, sha256: str | None = None) -> VerifiedArchive:
        fds = [os.open(self.archive, os.O_RDONLY), os.open(self.manifest, os.O_RDONLY)]
        try:
            return verify_archive(fds[0], fds[1], sha256=sha256)
        finally:
            close(fds)

    def compare(self, progress: Progress | None = None) -> tuple[str, ...]:
        fds = [os.open(self.source, os.O_RDONLY | os.O_DIRECTORY), os.open(self.manifest, os.O_RDONLY)]
        try:
            return compare_source(fds[0], fds[1], progress=progress)
        finally:
            close(fds)

    def entries(self) -> dict[bytes, Entry]:
        fd = os.open(self.manifest, os.O_RDONLY)
        try:
            return {entry.path.removeprefix(b"runner-0/"): entry for entry in ManifestReader(fd)}
        finally:
            os.close(fd)

    def extract(self) -> Path:
        """Extract with GNU tar; the directory that comes out."""
        target = self.root / "extracted"
        target.mkdir()
        options = ["--xattrs", "--xattrs-include=*", "--warning=no-unknown-keyword", "--numeric-owner"]
        subprocess.run(["tar", *options, "-xpzf", self.archive, "-C", target], check=True, timeout=10)
        return target / "runner-0"


def close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def open_count() -> int:
    """Descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def deep_directories(root: Path, depth: int, name: bytes = b"d") -> Iterator[None]:
    """Directories in each other, with a file `leaf` in the last; removed afterwards, which pytest could not."""
    fd = root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        if fd != root_fd:
            os.close(fd)
        fd = below
    os.close(os.open(b"leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    try:
        yield
    finally:
        if (root / os.fsdecode(name)).exists():
            remove_tree(root_fd, name, inode=os.stat(name, dir_fd=root_fd).st_ino)
        os.close(root_fd)


def assert_sound(archiving: Archiving) -> None:
    """Archive, verify, compare with the source: all without a complaint."""
    before = open_count()
    summary = archiving.write()
    assert summary.clean, summary.problems
    verified = archiving.verify(summary.archive_sha256)
    assert verified.header == HEADER
    assert (verified.entries, verified.files) == (summary.entries, summary.files)
    assert verified.manifest_sha256 == summary.manifest_sha256
    assert archiving.compare() == ()
    assert open_count() == before
