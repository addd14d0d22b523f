"""An engine on two fresh volumes, and where the directories and archives of its lives are."""

import os
from pathlib import Path

from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec

ME = f"{os.getuid()}:{os.getgid()}"
SPEC = StorageSpec(owner=ME)
IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
OTHER = Identity("runners", "runner-0", Uid("1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
THIRD = Identity("runners", "runner-3", Uid("2b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
NOW = "2026-01-01T00:00:00Z"


def live(engine: StorageEngine, identity: Identity = IDENTITY) -> Path:
    return engine.storage.path / identity.namespace / identity.directory_name


def private(engine: StorageEngine) -> Path:
    return engine.storage.path / ".metrics-storage"


def archives(engine: StorageEngine) -> list[Path]:
    return sorted((engine.storage.path.parent / "quarantine").glob("*/*.tar.gz"))


class EndError(Exception):
    """What a progress raises whose process ends."""


def ending(_bytes: int, _entries: int) -> None:
    raise EndError
