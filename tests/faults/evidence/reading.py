"""Reading an archive and its manifest with zlib, json and own hashes, however large and deep they are.

Entries are known by their names and depths in the manifest alone, as the design says of deep trees, whose content
goes on under `<top>~1`.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.evidence.facts import ROOT_KEY, child_key
from tests.faults.evidence.snapshot import digest

ARCHIVE: Final = ".tar.gz"
MANIFEST: Final = ".manifest.jsonl"
_GZIP: Final = 31
_PIECE: Final = 1 << 18
_UNZIPPED_PIECE: Final = 1 << 20


@dataclass(slots=True)
class Reading:
    """What an archive was found to be; `problems` is empty where archive and manifest are sound and agree."""

    path: Path
    sha256: str = ""
    manifest_sha256: str = ""
    clean: bool = False
    entries: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """Key of the entry (see `facts.child_key`) to its line."""
    paths: dict[bytes, bytes] = field(default_factory=dict)
    """Path in the archive to the key of the entry stored there."""
    problems: list[str] = field(default_factory=list)


def manifest_of(archive: Path) -> Path:
    """The manifest that belongs beside an archive."""
    return archive.with_name(archive.name.removesuffix(ARCHIVE) + MANIFEST)


def unzipped(found: Reading) -> Iterator[bytes]:
    """The tar in pieces, as far as it can be read."""
    stream = zlib.decompressobj(_GZIP)
    found.sha256 = digest(found.path)
    with open(found.path, "rb") as file:
        while not stream.eof and (raw := file.read(_PIECE)):
            while raw and not stream.eof:
                try:
                    yield stream.decompress(raw, _UNZIPPED_PIECE)
                except zlib.error as exc:
                    found.problems.append(f"not a sound archive: {exc}")
                    return
                raw = stream.unconsumed_tail
        if not stream.eof:
            found.problems.append("cut off")
        elif stream.unused_data or file.read(1):
            found.problems.append("bytes follow the gzip member")


def read_manifest(found: Reading) -> None:
    """Read the manifest of an archive that was unzipped to its end."""
    try:
        found.manifest_sha256 = digest(manifest_of(found.path))
        _read_lines(found)
    except FileNotFoundError:
        found.problems.append("has no manifest")
    except (ValueError, KeyError, TypeError) as exc:
        found.problems.append(f"its manifest is malformed: {exc!r}")


def _read_lines(found: Reading) -> None:
    lines = hashlib.sha256()
    keys: list[bytes] = []
    before, kind = b"", ""
    line: dict[str, Any] = {}
    with open(manifest_of(found.path), "rb") as file:
        for raw in file:
            lines.update(before)
            line = json.loads(raw)
            if kind == "trailer" or (line["record"] == "header") != (not before):
                raise ValueError(f"{line['record']} in an odd place")
            before, kind = raw, line["record"]
            if kind == "entry":
                _place(found, keys, line)
    if kind != "trailer" or not before.endswith(b"\n"):
        raise ValueError("the trailer is missing")
    found.clean = line["clean"]
    expected = {"archive_sha256": found.sha256, "lines_sha256": lines.hexdigest(), "entries": len(found.entries)}
    found.problems += [
        f"trailer says {name} {line[name]!r}, it is {value!r}"
        for name, value in expected.items()
        if line[name] != value
    ]


def _place(found: Reading, keys: list[bytes], line: dict[str, Any]) -> None:
    """Find out which entry a line is about, from its depth and its name."""
    path, depth = base64.b64decode(line["path"]), line["depth"]
    if depth > len(keys):
        found.problems.append(f"manifest has {path!r:.200} at depth {depth}, where there is no such directory")
        return
    key = child_key(keys[depth - 1], path.rpartition(b"/")[2]) if depth else ROOT_KEY
    del keys[depth:]
    keys.append(key)
    if key in found.entries or path in found.paths:
        found.problems.append(f"manifest has {path!r:.200} twice")
    found.entries[key] = line
    if line["stored"]:
        found.paths[path] = key
