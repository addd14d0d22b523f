"""Disks made by hand, without any engine: what the checker's own tests look at, sound until something is broken."""

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Final

from tests.faults.crash.checker import judge
from tests.faults.crash.history import History, Subject, Violation
from tests.faults.evidence import snapshot

_PRIVATE: Final = ".metrics-storage"
_UID: Final = "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"


class Disk:
    """Two volumes with one storage directory, which was made and filled; change it, then ask for the judgement."""

    def __init__(self, root: Path) -> None:
        storage, quarantine = root / "storage", root / "quarantine"
        for holder in ("journal", "frozen", "trash"):
            (storage / _PRIVATE / holder).mkdir(parents=True)
        (quarantine / _PRIVATE / "incoming").mkdir(parents=True)
        (quarantine / "runners").mkdir()
        self.subject = Subject("runners", "runner-0", _UID, 0, 0o755, holder_mode=0o711)
        self.history = History(storage, quarantine, [self.subject])
        self.subject.begun |= {"create"}
        self.subject.done |= {"create"}
        self.live = storage / "runners" / self.subject.title
        self.frozen = storage / _PRIVATE / "frozen" / _UID
        self.trash = storage / _PRIVATE / "trash" / _UID
        self.entry = storage / _PRIVATE / "journal" / f"{_UID}.json"
        self.archive = quarantine / "runners" / f"{self.subject.title}_1.tar.gz"
        self.manifest = self.archive.with_name(f"{self.subject.title}_1.manifest.jsonl")
        self.incoming = quarantine / _PRIVATE / "incoming"
        self.outside = root / "outside"
        self.live.mkdir(parents=True)
        self.live.parent.chmod(0o711)
        self.live.chmod(0o755)
        (self.live / "metrics.json").write_text("{}")
        (self.live / "nested").mkdir()
        (self.live / "link").symlink_to("/etc/shadow")
        self.outside.write_text("secret")
        self.subject.content = snapshot.take(self.live)
        self.history.canaries[self.outside] = snapshot.take(self.outside)
        self.inode = self.live.stat().st_ino
        self.record("Provisioned")

    def record(self, phase: str, **changes: Any) -> None:
        """Write the journal entry; `reason` latches, `archive` is what it says of the archive."""
        archive, reason = changes.get("archive"), changes.get("reason")
        quarantine = {"reason": reason, "archive": archive} if reason else None
        inode = changes.get("inode", self.inode)
        entry = {"identity": {"uid": _UID}, "phase": phase, "inode": inode, "quarantine": quarantine}
        self.entry.write_text(json.dumps(entry))

    def latch(self) -> None:
        """The engine said that a quarantine is latched."""
        self.subject.reason = "evil"
        self.subject.begun |= {"latch", "archive"}
        self.subject.done |= {"latch"}
        self.record("Provisioned", reason="evil")

    def freeze(self) -> None:
        """As after the first move of a quarantine."""
        self.latch()
        self.live.rename(self.frozen)
        self.record("Frozen", reason="evil")

    def commit(self, phase: str = "Verified") -> None:
        """As after a quarantine that came as far as this phase; from Condemned on, the source is in trash."""
        self.freeze()
        self.write_archive()
        self.record(phase, reason="evil", archive=self.said())
        if phase == "Condemned":
            self.subject.begun |= {"remove"}
            self.frozen.rename(self.trash)

    def write_archive(self, *, without: str | None = None, clean: bool = True) -> None:
        """A sound archive of the frozen directory and its manifest, or one that lacks an entry."""
        buffer, lines = io.BytesIO(), [json.dumps({"record": "header"}).encode() + b"\n"]
        found = {path: item for path, item in snapshot.take(self.frozen).items() if path != without}
        with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
            for path, item in sorted(found.items()):
                name = "runner-0" if path == "." else f"runner-0/{path}"
                info = tar.gettarinfo(self.frozen / path, name)
                info.pax_headers = {"mtime": f"{item.mtime_ns // 10**9}.{item.mtime_ns % 10**9:09d}"}
                content = (self.frozen / path).read_bytes() if item.type == "file" else b""
                tar.addfile(info, io.BytesIO(content))
                lines.append(_line(name, item))
        data = buffer.getvalue()
        trailer = {
            "record": "trailer",
            "entries": len(found),
            "clean": clean,
            "archive_sha256": hashlib.sha256(data).hexdigest(),
            "lines_sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
        }
        self.archive.write_bytes(data)
        self.manifest.write_bytes(b"".join([*lines, json.dumps(trailer).encode() + b"\n"]))

    def said(self, *, clean: bool = True) -> dict[str, Any]:
        """What the journal says of the archive that is there."""
        return {
            "path": f"runners/{self.archive.name}",
            "sha256": snapshot.digest(self.archive),
            "manifest_sha256": snapshot.digest(self.manifest),
            "clean": clean,
        }

    def judged(self, *ends: str) -> list[Violation]:
        """The judgement."""
        return judge(self.history, ends=ends)

    def broken(self, *ends: str) -> set[str]:
        """The promises found broken."""
        return {violation.promise for violation in self.judged(*ends)}


def _line(name: str, item: snapshot.Item) -> bytes:
    entry = {
        "record": "entry",
        "path": base64.b64encode(name.encode()).decode(),
        "depth": name.count("/"),
        "type": item.type,
        "status": "ok",
        "stored": True,
        "mode": f"{item.mode:04o}",
        "uid": item.uid,
        "gid": item.gid,
        "mtime_ns": item.mtime_ns,
        "size": item.size,
        "inode": item.inode,
    }
    if item.type == "file":
        entry["sha256"] = item.content
    return json.dumps(entry).encode() + b"\n"
