"""Fixtures of the library's tests: a home for a user who is not root, and a manager of storages on directories."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.storage import (
    FilesystemStorageManager,
)
from tests.unit.storage.local_storages import OWNER
from tests.unit.storage.unprivileged import USER


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of an ordinary user, reachable by that user (pytest's own directories are not)."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        home = Path(name) / "home"
        home.mkdir()
        os.chown(home, USER, USER)
        yield home


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def quarantine(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


@pytest.fixture
def manager(base: Path, quarantine: Path) -> FilesystemStorageManager:
    return FilesystemStorageManager(base, quarantine, OWNER, patience=0.2)
