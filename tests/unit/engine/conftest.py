"""Fixtures of the engine's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.lifecycle.engine import StorageEngine
from tests.unit.engine.archiving import Archiving
from tests.unit.engine.engines import engine_below


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[StorageEngine]:
    """An engine on two fresh volumes."""
    with engine_below(tmp_path) as engine:
        yield engine


@pytest.fixture
def archiving(tmp_path: Path) -> Archiving:
    return Archiving(tmp_path)
