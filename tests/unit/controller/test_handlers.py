"""No handler of deletion or quarantine can release a finalizer by raising."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import kopf
import pytest

from metrics_storage import errors
from metrics_storage.controller.consumers import Consumers
from metrics_storage.controller.kopf_adapter import storage
from metrics_storage.controller.kopf_adapter.handlers import register
from metrics_storage.controller.kopf_adapter.startup import build_kopf_settings
from metrics_storage.controller.kopf_adapter.storage import Bookkeeping
from metrics_storage.controller.settings import Settings

BODY: dict[str, Any] = {
    "metadata": {
        "namespace": "runners",
        "name": "runner-0",
        "uid": "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11",
        "generation": 1,
    }
}
RAISED = [
    *(kind("x") for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    OSError(28, "No space left on device"),
    ValueError("x"),
    KeyError("x"),
    RecursionError("x"),
    MemoryError("x"),
    kopf.PermanentError("x"),
    AssertionError("x"),
]
STALLING = (
    errors.InvalidSpecError,
    errors.ConflictError,
    errors.DirectoryExistsError,
    errors.DirectoryVanishedError,
    errors.JournalError,
    errors.NodeLostError,
    errors.RemovalError,
    errors.VolumeFullError,
    errors.VolumeError,
    errors.PersistentlyUncleanError,
    errors.ArchiveCorruptError,
    errors.PersistentlyRefusedError,
    OSError,
)
"""With these a person must act, whose edit, or else the sweep, comes back to the resource."""


class Failing:
    """A reconciler in which everything fails the same way."""

    def __init__(self, error: Exception, *, latched: bool = False) -> None:
        self.error = error
        self.latched = latched

    async def reconcile(self, _body: object) -> None:
        raise self.error

    async def finalize(self, _body: object) -> None:
        raise self.error

    async def forget(self, _uid: str) -> None:
        raise self.error

    async def is_latched(self, _uid: str) -> bool:
        return self.latched


def handlers(reconciler: object) -> dict[str, list[Any]]:
    """What kopf was told, by the reason of the call."""
    registry = kopf.OperatorRegistry()
    register(registry, reconciler, Bookkeeping())  # type: ignore[arg-type]
    found: dict[str, list[Any]] = {}
    for handler in registry._changing.get_all_handlers():
        found.setdefault(str(handler.reason or "resume"), []).append(handler)
    return found


def test_every_handler_runs_on_the_event_loop() -> None:
    registry = kopf.OperatorRegistry()
    register(registry, Failing(Exception()), Bookkeeping(), Consumers(None, None))  # type: ignore[arg-type]
    handlers = [*registry._changing.get_all_handlers(), *registry._watching.get_all_handlers()]
    assert len(handlers) == 6
    assert all(asyncio.iscoroutinefunction(handler.fn) for handler in handlers)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_goes_wrong_in_a_deletion_is_temporary(error: Exception) -> None:
    for handler in handlers(Failing(error))["delete"]:
        with pytest.raises(kopf.TemporaryError) as caught:
            asyncio.run(handler.fn(body=BODY))
        assert caught.value.delay is not None
        assert 0 < caught.value.delay <= (720 if isinstance(error, errors.PersistentlyUncleanError) else 24)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_else_goes_wrong_is_tried_again_unless_a_person_must_act(error: Exception) -> None:
    for reason in ("create", "update", "resume"):
        for handler in handlers(Failing(error))[reason]:
            with contextlib.nullcontext() if isinstance(error, STALLING) else pytest.raises(kopf.TemporaryError):
                asyncio.run(handler.fn(body=BODY))


def test_a_latched_quarantine_is_tried_again_although_the_object_does_not_say_so() -> None:
    stalling = errors.VolumeFullError("x")
    for handler in handlers(Failing(stalling))["update"]:
        asyncio.run(handler.fn(body=BODY))
    for handler in handlers(Failing(stalling, latched=True))["update"]:
        with pytest.raises(kopf.TemporaryError):
            asyncio.run(handler.fn(body=BODY))


def test_a_clock_that_is_set_back_does_not_put_the_next_attempt_off(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Bookkeeping().progress
    body = kopf.Body({"metadata": {"uid": "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"}})
    monkeypatch.setattr(storage, "time", clock := SimpleNamespace(time=lambda: 36_000.0, monotonic=lambda: 10.0))
    progress.store(key="k", record={"delayed": "1970-01-01T10:00:20+00:00"}, body=body, patch=kopf.Patch())
    clock.time, clock.monotonic = (lambda: 36_005.0), (lambda: 15.0)
    assert progress.fetch(key="k", body=body) == {"delayed": "1970-01-01T10:00:20+00:00"}
    clock.time = lambda: 5.0
    assert progress.fetch(key="k", body=body) == {"delayed": "1970-01-01T00:00:20+00:00"}
    assert progress.fetch(key="other", body=body) is None


def test_the_deletion_has_one_handler_without_filters_or_limits() -> None:
    (handler,) = handlers(Failing(ValueError()))["delete"]
    for name in ("retries", "timeout", "labels", "annotations", "when", "field", "value", "errors"):
        assert getattr(handler, name) is None, name
    assert handler.requires_finalizer
    assert handler.id == "delete"


def test_no_handler_has_limits() -> None:
    for handler in (found for group in handlers(Failing(ValueError())).values() for found in group):
        assert (handler.retries, handler.timeout, handler.errors) == (None, None, None)


def test_kopf_has_our_own_finalizer_and_a_prefix_that_does_not_hide_our_annotation() -> None:
    from pathlib import Path

    settings = build_kopf_settings(
        Settings(storage_root=Path("/s"), quarantine_root=Path("/q"), volume_source="x", namespaces=("a",)),
        Bookkeeping(),
    )
    assert settings.persistence.finalizer == "metricsstorage.dev/directory"
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    diff = settings.persistence.diffbase_storage.build(
        body=kopf.Body({"metadata": {"annotations": {"metricsstorage.dev/quarantine": "x"}}})
    )
    assert diff["metadata"]["annotations"] == {"metricsstorage.dev/quarantine": "x"}
