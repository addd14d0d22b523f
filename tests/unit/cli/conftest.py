"""Fixtures of the command line's tests."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.engine.archive_site import Site, opened_site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_ROOT", str(tmp_path / "quarantine"))
    monkeypatch.delenv("METRICS_STORAGE_STORAGE_ROOT", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with opened_site(tmp_path) as site:
        yield site
