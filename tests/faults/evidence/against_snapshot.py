"""An archive of an ordinary tree, read into memory by tarfile and on request by GNU tar, and what it should hold."""

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tests.faults.evidence.reading import Reading, read_manifest, unzipped
from tests.faults.evidence.snapshot import Item, Snapshot, differences, take

_NEVER_STORED: Final = frozenset({"socket", "block", "character"})
_KINDS: Final = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.LNKTYPE: "link",
}


@dataclass(slots=True)
class Evidence(Reading):
    """What an archive of an ordinary tree was found to be."""

    members: Snapshot = field(default_factory=dict)
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path, as in `members`, to line of the manifest."""


def read(archive: Path) -> Evidence:
    """Read an archive and its manifest completely."""
    found = Evidence(archive)
    tar = b"".join(unzipped(found))
    try:
        found.members = _members(tar, found.problems)
    except (tarfile.TarError, ValueError, EOFError) as exc:
        found.problems.append(f"not a sound archive: {exc}")
    read_manifest(found)
    found.lines = {_path(base64.b64decode(line["path"])): line for line in found.entries.values()}
    stored = {path for path, line in found.lines.items() if line["stored"]}
    if found.lines and stored != found.members.keys():
        found.problems.append(f"manifest and archive differ in {sorted(stored ^ found.members.keys())!a}")
    return found


def compare(found: Evidence, source: Snapshot, *, lost: frozenset[str] = frozenset()) -> list[str]:
    """What of a source is missing in an archive or differs there, and what is in it that the source never had.

    Of `lost` nothing need be in the archive, but the manifest has to say that it could not be read.
    """
    stored = {path: item for path, item in source.items() if item.type not in _NEVER_STORED}
    problems = differences(_without(stored, lost), _without(found.members, lost), ignoring=("inode", "nlink"))
    if found.lines or not any("manifest" in problem for problem in found.problems):
        problems += [f"{path!a} is not in the manifest" for path in source.keys() - found.lines.keys()]
        problems += [f"{path!a} is in the manifest only" for path in found.lines.keys() - source.keys()]
        for path in source.keys() & found.lines.keys():
            problems += _compare_line(path, source[path], found.lines[path], lost=path in lost)
    return problems


def extract_with_gnu_tar(archive: Path, source: Snapshot, *, lost: frozenset[str] = frozenset()) -> list[str]:
    """What GNU tar restores differently from a source, but for `lost`."""
    with tempfile.TemporaryDirectory() as aside:
        done = subprocess.run(
            ["tar", "--extract", "--gzip", "--same-owner", "-p", "--file", archive, "--directory", aside],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            return [f"GNU tar: {done.stderr.strip()}"]
        (top,) = Path(aside).iterdir()
        restored = _without(take(top), lost)
        return [f"GNU tar: {text}" for text in differences(_without(source, lost), restored, ignoring=("inode",))]


def _without(items: Snapshot, lost: frozenset[str]) -> Snapshot:
    return {path: item for path, item in items.items() if path not in lost}


def _members(raw: bytes, problems: list[str]) -> Snapshot:
    members: Snapshot = {}
    with tarfile.open(fileobj=io.BytesIO(raw), encoding="utf-8", errors="surrogateescape") as tar:
        for info in tar:
            top, _, path = info.name.partition("/")
            path = path or "."
            if path in members or top in ("", "..", "."):
                problems.append(f"odd member {info.name!a}")
            members[path] = _item(tar, info, members)
    if any(raw[tar.offset :]):
        problems.append("something follows the last member")
    return members


def _item(tar: tarfile.TarFile, info: tarfile.TarInfo, members: Snapshot) -> Item:
    kind = _KINDS[tarfile.REGTYPE if info.sparse is not None else info.type]
    content, size = "", 0
    if kind == "link":
        original = members[info.linkname.partition("/")[2]]
        kind, content, size = "file", original.content, original.size
    elif kind == "file":
        file = tar.extractfile(info)
        if file is None:
            raise ValueError(f"{info.name!a} has no content")
        whole = file.read()
        content, size = hashlib.sha256(whole).hexdigest(), len(whole)
    elif kind == "symlink":
        content, size = info.linkname, len(info.linkname.encode(errors="surrogateescape"))
    mtime = int(Decimal(info.pax_headers.get("mtime", int(info.mtime))) * 10**9)
    return Item(kind, info.mode, info.uid, info.gid, mtime, size, 0, 0, content)


def _path(path: bytes) -> str:
    return path.decode(errors="surrogateescape").partition("/")[2] or "."


def _compare_line(path: str, item: Item, line: dict[str, Any], *, lost: bool) -> list[str]:
    size = item.size if item.type in ("file", "symlink") else 0
    expected = {
        "type": item.type,
        "status": "unreadable" if lost else "ok",
        "mode": f"{item.mode:04o}",
        "uid": item.uid,
        "gid": item.gid,
        "mtime_ns": item.mtime_ns,
        "size": size,
        "inode": item.inode,
    }
    if item.type == "file" and "link" not in line and not lost:
        expected["sha256"] = item.content
    return [
        f"manifest says {name} {line.get(name)!r} of {path!a}, it was {value!r}"
        for name, value in expected.items()
        if line.get(name) != value
    ]
