"""A home for a user who is not root."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
