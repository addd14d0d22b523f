"""Calls that wait for each other are served in the order in which they came, whatever becomes of who is before them."""

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.fs import durable
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.storage import FilesystemStorageManager
from metrics_storage.storage.lock_queue import queued
from tests.unit.engine.engines import engine_on
from tests.unit.storage.local_storages import OWNER
from tools.waiting import eventually

_MANY = 12


@pytest.fixture
def private(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_who_came_first_is_served_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, quarantine = tmp_path / "base", tmp_path / "quarantine"
    manager = FilesystemStorageManager(base, quarantine, OWNER, patience=60)
    manager.create("first")
    served: list[str] = []
    real = StorageEngine.ensure

    def ensure(self: StorageEngine, identity: Any, spec: Any) -> Any:
        served.append(identity.name)
        return real(self, identity, spec)

    queue = base / ".metrics-storage" / "queue"
    names = [f"runner-{number}" for number in range(_MANY)]
    threads = [threading.Thread(target=manager.create, args=(name,)) for name in names]
    with engine_on(base, quarantine):
        monkeypatch.setattr(StorageEngine, "ensure", ensure)
        for number, thread in enumerate(threads, 1):
            thread.start()
            eventually(partial(_has, queue, number), seconds=30, what=f"{number} tickets")
    for thread in threads:
        thread.join()
    assert served == names
    assert os.listdir(queue) == []


def _has(queue: Path, tickets: int) -> bool:
    return queue.exists() and len(os.listdir(queue)) == tickets


def test_tickets_of_the_dead_hold_nobody_up(tmp_path: Path, private: int) -> None:
    (tmp_path / "queue").mkdir()
    for number in (1, 2, 7):
        (tmp_path / "queue" / str(number)).touch()
    began = time.monotonic()
    with queued(private, began + 60):
        assert os.listdir(tmp_path / "queue") == ["8"]
    assert time.monotonic() - began < 10
    assert os.listdir(tmp_path / "queue") == []


def test_the_deadline_ends_the_waiting_and_leaves_the_ticket_before_alone(tmp_path: Path, private: int) -> None:
    with queued(private, time.monotonic() + 60):
        with queued(private, time.monotonic() + 0.1):
            pass
        assert os.listdir(tmp_path / "queue") == ["1"]


def full(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


def test_where_no_ticket_can_be_written_nobody_is_waited_for(
    private: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "make_directory", full)
    with queued(private, time.monotonic() + 60):
        assert not list(tmp_path.iterdir())
