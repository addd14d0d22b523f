"""An archive of any tree, however deep, with every attribute: its manifest beside the facts, what GNU tar restores."""

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.evidence.facts import ROOT_KEY, Fact, Facts, differing, take
from tests.faults.evidence.reading import Reading, read_manifest, unzipped

_STORED: Final = frozenset({"file", "directory", "symlink", "fifo"})
_OVERLAP: Final = 128
_TAR: Final = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-unknown-keyword", "-p")
_RESTORED_ANEW: Final = frozenset({"inode", "nlink", "parent"})
_LINE_FIELDS: Final = ("type", "uid", "gid", "mtime_ns", "size", "nlink", "inode")


def read(archive: Path, forbidden: tuple[bytes, ...] = ()) -> Reading:
    """Read an archive and its manifest completely; `forbidden` is what must not occur in what was archived."""
    found = Reading(archive)
    tail = b""
    for piece in unzipped(found):
        tail += piece
        found.problems += [f"{token!r} is in the archive" for token in forbidden if token in tail]
        tail = tail[-_OVERLAP:]
    read_manifest(found)
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
