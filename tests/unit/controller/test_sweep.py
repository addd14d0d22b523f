"""What a sweep notices: watches that do not tell of what is on the API server, and who waits for a person."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from metrics_storage.constants import FINALIZER, UID_LABEL
from metrics_storage.controller import sweep as module
from metrics_storage.controller.engine_api import Engine
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.site import OneSite, Site
from metrics_storage.controller.sweep import Sweep
from metrics_storage.errors import KubernetesError
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import STORAGES, VOLUMES, Resource
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.kube.volumes import Volumes
from metrics_storage.model.identity import Uid

UID = "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"


@dataclass
class World:
    """One MetricsStorage on an API server, which the handlers know of or not; stands for all that a sweep asks."""

    known: set[str] = field(default_factory=set)
    reachable: bool = True
    now: float = 0.0
    unreadable: list[str] = field(default_factory=list)
    conditions: list[dict[str, str]] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    phase: str = "Ready"
    resumed: int = 0
    volumes: list[dict[str, Any]] = field(default_factory=list)
    finalizers: list[str] = field(default_factory=lambda: [FINALIZER])
    created_at: str = "2026-01-01T00:00:00Z"
    taken_over: int = 0
    looked_for: list[str] = field(default_factory=list)
    looked_after: list[tuple[bool, bool, object]] = field(default_factory=list)

    async def list(self, resource: Resource, _namespace: str | None, _selector: str = "") -> AsyncIterator[Any]:
        if not self.reachable:
            raise KubernetesError("connection refused", None)
        if resource is VOLUMES:
            for volume in self.volumes:
                yield volume
        if resource is STORAGES:
            metadata = {"name": "runner-0", "namespace": "runners", "uid": UID, "generation": 1}
            metadata |= {"annotations": self.annotations, "finalizers": self.finalizers}
            metadata["creationTimestamp"] = self.created_at
            yield {"metadata": metadata, "status": {"conditions": self.conditions, "phase": self.phase}}

    async def uids(self) -> set[str]:
        return set(self.unreadable)

    async def find(self, uid: str) -> None:
        self.looked_for.append(uid)
        raise OSError(errno.EIO, f"journal entry of {uid}")

    async def resume(self, _body: Any) -> None:
        self.resumed += 1

    async def take_over(self, _body: Any) -> None:
        self.taken_over += 1

    async def look_after(self, _body: Any, *, bound: bool, waiting: bool, usage: object) -> None:
        self.looked_after.append((bound, waiting, usage))

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(module, "time", world)
    return world


@pytest.fixture
def sweep(world: World) -> Sweep:
    return Sweep(
        cast(Api, world),
        OneSite(Site(cast(Engine, world), Uid.new(), VolumeTemplate("hostPath", "/srv"), cast(Volumes, world)), "here"),
        cast(Reconciler, world),
        interval=0.01,
        watched=world.known.__contains__,
    )


def at(sweep: Sweep, world: World, now: float) -> bool:
    """Sweep at a time in seconds; whether the watch is lost."""
    world.now = now
    asyncio.run(sweep.once())
    return sweep.watch_lost.is_set()


def test_a_watch_is_lost_that_does_not_tell_of_an_object_in_time(world: World, sweep: Sweep) -> None:
    assert [at(sweep, world, now) for now in (0, 30, 30.1)] == [False, False, True]


def test_a_watch_is_lost_also_where_a_journal_entry_cannot_be_read(world: World, sweep: Sweep) -> None:
    world.unreadable = ["1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"]
    assert [at(sweep, world, now) for now in (0, 31)] == [False, True]
    assert sweep.completed_at == 31


def test_one_volume_is_looked_at_one_directory_after_the_other(world: World, sweep: Sweep) -> None:
    at(sweep, world, 0)
    assert world.looked_after == [(False, False, None)]


def test_a_watch_that_tells_of_an_object_late_is_not_lost(world: World, sweep: Sweep) -> None:
    assert not at(sweep, world, 0)
    world.known.add(UID)
    assert not at(sweep, world, 100)


def test_a_watch_gets_its_time_anew_after_the_api_server_was_away(world: World, sweep: Sweep) -> None:
    async def sweep_in_vain() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sweep.run(), timeout=0.1)

    assert not at(sweep, world, 0)
    world.reachable = False
    asyncio.run(sweep_in_vain())
    world.reachable = True
    assert not at(sweep, world, 100)
    assert not at(sweep, world, 130)
    assert at(sweep, world, 131)


@pytest.mark.parametrize(
    ("kind", "reason", "stalled"),
    [("Stalled", "QuarantineVolumeFull", 1), ("Stalled", "Quarantined", 0), ("Reconciling", "ClaimInUse", 0)],
)
def test_who_waits_for_a_person_is_counted(world: World, sweep: Sweep, kind: str, reason: str, stalled: int) -> None:
    world.conditions = [{"type": "Ready", "reason": reason}, {"type": kind, "reason": reason}]
    asyncio.run(sweep.once())
    assert sweep.stalled == stalled


@pytest.mark.parametrize("finalizers", [[FINALIZER], []])
@pytest.mark.parametrize(("phase", "resumed"), [("Quarantining", 1), ("Failed", 1), ("Quarantined", 0)])
def test_a_quarantine_is_looked_at_until_it_is_done(
    world: World, sweep: Sweep, phase: str, resumed: int, finalizers: list[str]
) -> None:
    world.finalizers = finalizers

    async def once() -> None:
        await sweep.once()
        await asyncio.sleep(0)

    world.annotations, world.phase = {"metricsstorage.dev/quarantine": "not JSON"}, phase
    asyncio.run(once())
    assert world.resumed == resumed


@pytest.mark.parametrize(("created_at", "taken_over"), [("2026-01-01T00:00:00Z", 1), ("2999-01-01T00:00:00Z", 0)])
def test_what_kopf_did_not_get_to_hold_in_time_is_taken_over(
    world: World, sweep: Sweep, created_at: str, taken_over: int
) -> None:
    async def once() -> None:
        await sweep.once()
        await asyncio.sleep(0)

    world.finalizers, world.created_at = ["example.com/other"], created_at
    asyncio.run(once())
    assert world.taken_over == taken_over


@pytest.mark.parametrize("label", ["", "..", "../../etc/passwd", UID.upper(), f"{UID}.json"])
def test_a_label_that_is_no_uid_names_nothing_in_the_journal(world: World, sweep: Sweep, label: str) -> None:
    world.known = {UID}
    other = "1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"
    world.volumes = [{"metadata": {"name": "v", "labels": {UID_LABEL: text}}, "spec": {}} for text in (label, other)]
    asyncio.run(sweep.once())
    assert set(world.looked_for) == {other}
