"""A reconciler between a fake API server and a real engine, for tests."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.kube.resources import EVENTS, STORAGES, Resource
from metrics_storage.model.identity import Identity, Uid
from tests.unit.controller.fake_api import FakeApi, Object

UID = Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")
OWNER = {"directory": {"owner": f"{os.getuid()}:{os.getgid()}"}}


@dataclass
class World:
    """A reconciler between a fake API server and a real engine on real directories."""

    api: FakeApi
    reconciler: Reconciler
    root: Path
    engine: StorageEngine

    def apply(self, spec: Object | None = None, reason: str = "") -> None:
        """Put the MetricsStorage there, or change it."""
        self.api.objects.pop((STORAGES, "runners", "runner-0"), None)
        annotations = {"metricsstorage.dev/quarantine": reason} if reason else {}
        metadata = {"name": "runner-0", "namespace": "runners", "uid": UID, "generation": 1, "annotations": annotations}
        self.api.add(STORAGES, {"metadata": metadata, "spec": {**OWNER, **(spec or {})}}, "runners")

    def condemn(self) -> None:
        """What a deletion does that is interrupted right after it decided."""
        self.engine.condemn(Identity("runners", "runner-0", UID))

    @contextmanager
    def holding_claims(self) -> Iterator[None]:
        """Pods use every claim, and nobody waits long for them to end."""
        self.api.held = True
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("metrics_storage.controller.steps.CLAIM_TIMEOUT", 0.05)
            yield
        self.api.held = False

    @contextmanager
    def recorded_writes(self) -> Iterator[list[tuple[str, Resource]]]:
        """Verb and resource of every request that changes something."""
        writes: list[tuple[str, Resource]] = []

        def note(verb: str, resource: Resource) -> None:
            if verb not in ("get", "list"):
                writes.append((verb, resource))

        self.api.before = note
        yield writes
        self.api.before = lambda _verb, _resource: None

    @property
    def body(self) -> Object:
        return self.api.storage("runner-0")

    def events(self, reason: str) -> list[Object]:
        """The events that were written with a reason."""
        return [body for (kind, _, _), body in self.api.objects.items() if kind == EVENTS and body["reason"] == reason]

    @property
    def live(self) -> Path:
        return self.root / "storage" / "runners" / f"runner-0_{UID}"

    @property
    def archives(self) -> list[Path]:
        return list((self.root / "quarantine").glob("*/*.tar.gz"))

    def reconcile(self) -> None:
        asyncio.run(self.reconciler.reconcile(self.body))

    def finalize(self) -> None:
        self.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        asyncio.run(self.reconciler.finalize(self.body))

    def reason(self, kind: str) -> str | None:
        """Reason of a condition, None where it is absent."""
        conditions = self.body.get("status", {}).get("conditions", ())
        return next((entry["reason"] for entry in conditions if entry["type"] == kind), None)
