"""The engine that must not pass: archives with `tarfile` straight to the final name, then `rmtree`, then retries.

It is what one writes first, and it loses evidence: a retry after a death overwrites the whole archive with what is
left of the half-removed directory.
"""

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

from tests.faults.crash.lives import MODE, NAME, NAMESPACE, OWNER

_PRIVATE = ".metrics-storage"


class NaiveActor:
    """Does what is asked, the obvious way, and keeps notes where the real engine keeps its journal."""

    def __init__(self, storage: Path, quarantine: Path) -> None:
        self._storage = storage
        self._quarantine = quarantine

    def open(self) -> None:
        for name in ("journal", "frozen", "trash"):
            (self._storage / _PRIVATE / name).mkdir(parents=True, exist_ok=True)

    def act(self, action: str, uid: str, reason: str) -> dict[str, Any]:
        live = self._storage / NAMESPACE / f"{NAME}_{uid}"
        notes = self._storage / _PRIVATE / "journal" / f"{uid}.json"
        entry: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
        if action == "create":
            live.mkdir(parents=True, exist_ok=True)
            live.parent.chmod(0o711)
            os.chown(live, OWNER, OWNER)
            live.chmod(MODE)
            entry = {
                "identity": {"uid": uid},
                "phase": "Provisioned",
                "inode": live.stat().st_ino,
                "quarantine": None,
            }
        elif action == "latch" and entry and not entry["quarantine"]:
            entry["quarantine"] = {"reason": reason, "archive": None}
        elif action == "archive" and live.exists():
            self._archive(live, uid)
        elif action == "remove":
            shutil.rmtree(live, ignore_errors=True)
            entry["phase"] = "Gone"
        elif action == "forget":
            notes.unlink(missing_ok=True)
            return {}
        notes.write_text(json.dumps(entry))
        return entry

    def _archive(self, live: Path, uid: str) -> None:
        target = self._quarantine / NAMESPACE / f"{NAME}_{uid}_1.tar.gz"
        target.parent.mkdir(exist_ok=True)
        with tarfile.open(target, "w:gz") as tar:
            tar.add(live, NAME)
        # The claim to have archived and the removal are one step here, as in the tool this is modelled on.
        shutil.rmtree(live)
