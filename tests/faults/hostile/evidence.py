"""Whether an archive holds a hostile tree exactly, judged without the engine: own reading, and GNU tar.

Beside `evidence`, which reads ordinary archives into memory, this one streams, and understands what the design
says of deep trees (their content goes on under `<top>~1`): names and depths of the manifest alone decide what an
entry is, and what GNU tar makes of the archive must be just that.
"""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.hostile.facts import ROOT_KEY, Fact, Facts, child_key, differing, take

_STORED: Final = frozenset({"file", "directory", "symlink", "fifo"})
_OVERLAP: Final = 128
_TAR: Final = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-unknown-keyword", "-p")
_RESTORED_ANEW: Final = frozenset({"inode", "nlink", "parent"})
_LINE_FIELDS: Final = ("type", "uid", "gid", "mtime_ns", "size", "nlink", "inode")


@dataclass(slots=True)
class Reading:
    """What an archive and its manifest were found to be."""

    clean: bool = False
    entries: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """Key of the entry to its line."""
    paths: dict[bytes, bytes] = field(default_factory=dict)
    """Path in the archive to the key of the entry stored there."""
    problems: list[str] = field(default_factory=list)


def manifest_of(archive: Path) -> Path:
    """The manifest beside an archive."""
    return archive.with_name(archive.name.removesuffix(".tar.gz") + ".manifest.jsonl")


def read(archive: Path, manifest: Path, forbidden: tuple[bytes, ...]) -> Reading:
    """Read both completely; `forbidden` is what must not occur in what was archived."""
    found = Reading()
    whole = hashlib.sha256()
    tail = b""
    for piece in _unzipped(archive, whole, found):
        tail += piece
        found.problems += [f"{token!r} is in the archive" for token in forbidden if token in tail]
        tail = tail[-_OVERLAP:]
    _read_manifest(manifest, found, whole.hexdigest())
    return found


def compare(found: Reading, source: Facts) -> list[str]:
    """In what a reading differs from a source, entry by entry."""
    problems = [f"{source[key].name!r} is not in the manifest" for key in source.keys() - found.entries.keys()]
    problems += [
        f"{found.entries[key]['shown']} is in the manifest only" for key in found.entries.keys() - source.keys()
    ]
    for key in source.keys() & found.entries.keys():
        problems += _compare_line(source[key], found.entries[key])
    return problems


def extract(archive: Path, found: Reading, source: Facts, aside: Path) -> list[str]:
    """What GNU tar restores differently from the source."""
    target = tempfile.mkdtemp(dir=aside)
    try:
        done = subprocess.run(
            [*_TAR, "--delay-directory-restore", "-xzf", archive, "-C", target], capture_output=True, check=False
        )
        if done.returncode:
            return [f"GNU tar: {done.stderr!r:.500}"]
        return [f"GNU tar: {text}" for text in _compare_extracted(Path(target), found, source)]
    finally:
        # The library's own removal gives up at deep directories.
        subprocess.run(["rm", "-rf", "--one-file-system", target], check=True)


def diff(archive: Path, top: Path) -> list[str]:
    """What GNU tar says of the archive beside the directory that it was made of (or a copy), called `top`."""
    done = subprocess.run([*_TAR, "--compare", "-zf", archive, "-C", top.parent], capture_output=True, check=False)
    return [f"GNU tar --compare: {done.stdout + done.stderr!r:.500}"] if done.returncode else []


def _unzipped(archive: Path, whole: "hashlib._Hash", found: Reading) -> Iterator[bytes]:
    stream = zlib.decompressobj(31)
    with open(archive, "rb") as file:
        while raw := file.read(1 << 18):
            whole.update(raw)
            while raw and not stream.eof:
                yield stream.decompress(raw, 1 << 20)
                raw = stream.unconsumed_tail
    if not stream.eof or stream.unused_data:
        found.problems.append("not exactly one gzip member")


def _read_manifest(manifest: Path, found: Reading, archive_sha256: str) -> None:
    lines = hashlib.sha256()
    keys: list[bytes] = []
    count = 0
    with open(manifest, "rb") as file:
        header = json.loads(raw := file.readline())
        trailer = None
        for following in file:
            lines.update(raw)
            raw = following
            line = json.loads(raw)
            if line["record"] == "trailer":
                trailer = line
                continue
            count += 1
            _place(found, keys, line)
    expected = {"archive_sha256": archive_sha256, "lines_sha256": lines.hexdigest(), "entries": count}
    if header["record"] != "header" or trailer is None:
        found.problems.append("the manifest has no header or no trailer")
        return
    found.clean = trailer["clean"]
    found.problems += [
        f"trailer has {name} {trailer[name]}, not {value}" for name, value in expected.items() if trailer[name] != value
    ]


def _place(found: Reading, keys: list[bytes], line: dict[str, Any]) -> None:
    """Find out which entry a line is about, from its depth and its name."""
    path, depth = base64.b64decode(line["path"]), line["depth"]
    if depth > len(keys):
        found.problems.append(f"{line['shown']} has depth {depth}, but there is no such directory")
        return
    key = child_key(keys[depth - 1], path.rpartition(b"/")[2]) if depth else ROOT_KEY
    del keys[depth:]
    keys.append(key)
    if key in found.entries or path in found.paths:
        found.problems.append(f"{line['shown']} is there twice")
    found.entries[key] = line
    if line["stored"]:
        found.paths[path] = key


def _compare_line(fact: Fact, line: dict[str, Any]) -> list[str]:
    expected: dict[str, Any] = {name: getattr(fact, name) for name in _LINE_FIELDS}
    expected |= {"status": "ok", "mode": f"{fact.mode:04o}", "stored": fact.type in _STORED}
    if fact.sha256 is not None and "link" not in line:
        expected["sha256"] = fact.sha256
    told = {name: line.get(name) for name in expected}
    expected["xattrs"] = fact.xattrs if "link" not in line else {}
    told["xattrs"] = {base64.b64decode(name): base64.b64decode(value) for name, value in line.get("xattrs", {}).items()}
    expected["target"] = fact.target
    told["target"] = base64.b64decode(line["target"]) if "target" in line else None
    expected["device"] = list(fact.device) if fact.device else None
    told["device"] = line.get("device")
    return [f"{fact.name!r} has {name} {told[name]!r:.300} in the manifest, not {expected[name]!r:.300}"
            for name in expected if told[name] != expected[name]]  # fmt: skip


def _compare_extracted(target: Path, found: Reading, source: Facts) -> Iterator[str]:
    """Walk what was extracted, know each entry by its path in the archive, and compare it with the source's."""
    originals: dict[int, int] = {}
    unseen = dict(found.paths)
    for top in sorted(os.listdir(os.fsencode(target))):
        fd = os.open(os.path.join(os.fsencode(target), top), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            paths: dict[bytes, bytes] = {}
            for key, fact in take(fd).items():
                path = paths[key] = top if key == ROOT_KEY else paths[fact.parent] + b"/" + fact.name
                entry = unseen.pop(path, None)
                if entry is None:
                    # A further top directory of a deep tree has no entry of its own.
                    if path != top or b"~" not in top:
                        yield f"{path!r:.200} is additional"
                    continue
                if entry not in source:
                    continue
                fact.name = source[entry].name
                yield from differing(source[entry], fact, _RESTORED_ANEW)
                if fact.type == "file" and originals.setdefault(source[entry].inode, fact.inode) != fact.inode:
                    yield f"{path!r:.200} is not the same file as its other names"
        finally:
            os.close(fd)
    for path in unseen:
        yield f"{path!r:.200} was not extracted"
