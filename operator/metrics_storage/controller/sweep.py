"""The sweep: one loop that measures usage, notices drift that no event tells of, and reports what has no owner."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from metrics_storage.constants import FINALIZER, MANAGED_SELECTOR, UID_LABEL
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.site import Sites
from metrics_storage.errors import MetricsStorageError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import claim_state
from metrics_storage.kube.resources import CLAIMS, STORAGES, VOLUMES, Resource
from metrics_storage.kube.volumes import is_bound, volume_state
from metrics_storage.model import reasons
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.identity import Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.resource import StorageResource

_log = logging.getLogger(__name__)

_WATCH_TIMEOUT: Final = 30.0
"""Seconds in which a watch tells of a new object for certain, long lists and a slow start included."""


_Work = Callable[[Mapping[str, Any]], Awaitable[None]]


class Sweep:
    """Looks at every MetricsStorage, claim, volume and journal entry at a steady pace."""

    def __init__(
        self,
        api: Api,
        sites: Sites,
        reconciler: Reconciler,
        *,
        interval: float,
        watched: Callable[[str], bool],
        namespaces: Sequence[str] = (),
    ) -> None:
        """Look every `interval` seconds at the given namespaces, or at all, and at what is on the storage volumes.

        `watched` says whether a uid has reached the handlers.
        """
        self._api = api
        self._sites = sites
        self._reconciler = reconciler
        self._interval = interval
        self._is_watched = watched
        self._unwatched: dict[Uid, float] = {}
        self.watch_lost = asyncio.Event()
        """Set where MetricsStorages are on the API server that never reach the handlers."""
        self._watched = frozenset(namespaces)
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._reported: frozenset[Uid] = frozenset()
        self._late: dict[Uid, asyncio.Task[None]] = {}
        self.orphans: frozenset[Uid] = frozenset()
        """Uids whose directory or volume is kept although their MetricsStorage is gone, by the last sweep."""
        self.stalled = 0
        """MetricsStorages on which a person must act, by the last sweep; those that are safely in quarantine aside."""
        self.completed_at = time.monotonic()

    async def run(self) -> None:
        """Sweep until cancelled. A sweep that fails is logged, and the next one begins at its time."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.once()
            except Exception as exc:
                _log.warning("the sweep was cut short and begins anew in %g s: %s", self._interval, exc)
                # The watch was cut short too, and gets its time anew.
                self._unwatched.clear()
            # Also a failed sweep shows that this process is alive; a restart would not mend the API server.
            self.completed_at = time.monotonic()

    async def once(self) -> None:
        """Look at everything once."""
        # In this order: what journal and volumes knew before the owners were listed is in that list, or has none.
        surveys = await self._sites.survey()
        known: dict[Uid, Uid | None] = {uid: each for each, survey in surveys.items() for uid in survey.uids}
        provided = {uid: usage for survey in surveys.values() for uid, usage in survey.provided.items()}
        # Of claims and volumes only what is needed is kept: there may be tens of thousands.
        ours = self._every(VOLUMES, f"{MANAGED_SELECTOR},{self._sites.volume_selector}")
        volumes = {uid: volume_state(item) async for item in ours if (uid := _uid_of(item))}
        claims = {
            uid: claim_state(item) async for item in self._every(CLAIMS, MANAGED_SELECTOR) if (uid := _uid_of(item))
        }
        living = {Uid(body["metadata"]["uid"]): body async for body in self._every(STORAGES)}
        self._check_watched(living)
        self.stalled = sum(map(_waits_for_a_person, living.values()))
        for uid, body in living.items():
            if "deletionTimestamp" in body["metadata"]:
                self._conclude_if_late(body)
                continue
            resource = StorageResource(body)
            if resource.is_flagged and resource.phase != "Quarantined":
                self._in_background(uid, self._reconciler.resume, body)
                continue
            if not resource.finalized:
                if self._is_late(body, "creationTimestamp"):
                    self._in_background(uid, self._reconciler.take_over, body)
                continue
            try:
                claim = claims.get(uid)
                bound = is_bound(claim, volumes.get(uid))
                waiting = claim is not None and claim.is_waiting
                await self._reconciler.look_after(body, bound=bound, waiting=waiting, usage=provided.get(uid))
            except Exception as exc:
                _log.warning("%s", explain(exc).message)
            self.completed_at = time.monotonic()
        placed = known | {uid: volume.storage_volume_id for uid, volume in volumes.items() if uid not in known}
        await self._forget_ended({uid: volume_id for uid, volume_id in placed.items() if uid not in living})

    def _check_watched(self, uids: Iterable[Uid]) -> None:
        """Notice objects that never reach the handlers: kopf can miss a definition that is deleted and made again."""
        seen = time.monotonic()
        self._unwatched = {uid: self._unwatched.get(uid, seen) for uid in uids if not self._is_watched(uid)}
        if any(seen - since > max(_WATCH_TIMEOUT, 2 * self._interval) for since in self._unwatched.values()):
            self.watch_lost.set()

    def _conclude_if_late(self, body: Mapping[str, Any]) -> None:
        """Finish a deletion for which no handler came in two intervals, in the background: it may archive."""
        uid = Uid(body["metadata"]["uid"])
        if FINALIZER in body["metadata"].get("finalizers", ()) and self._is_late(body, "deletionTimestamp"):
            self._in_background(uid, self._reconciler.conclude, body)

    def _is_late(self, body: Mapping[str, Any], since: str) -> bool:
        """Whether two intervals have passed since a time in the metadata, longer than any handler waits."""
        age = datetime.now(UTC) - datetime.fromisoformat(body["metadata"][since])
        return age.total_seconds() > 2 * self._interval

    def _in_background(self, uid: Uid, do: _Work, body: Mapping[str, Any]) -> None:
        """Do what may take long while the sweep goes on, once at a time for each uid."""

        async def work() -> None:
            try:
                await do(body)
            except Exception as exc:
                _log.warning("%s", explain(exc).message)
            finally:
                del self._late[uid]

        if uid not in self._late:
            self._late[uid] = asyncio.create_task(work())

    async def _forget_ended(self, placed: Mapping[Uid, Uid | None]) -> None:
        """Forget those whose life is over, and report what is left of those that nobody owns any more.

        `placed` has the storage volume of each uid.
        """
        left: dict[Uid, Record | None] = {}
        for uid, volume_id in placed.items():
            try:
                site = self._sites.find(uid, volume_id)
                if site is None:
                    continue
                record = await site.engine.find(uid)
                if record and self._watched and record.identity.namespace not in self._watched:
                    continue  # Its owner is not in the list, and may well live.
                await self._reconciler.forget(uid, volume_id)
                if record is None or (record := await site.engine.find(uid)):
                    left[uid] = record
            except (MetricsStorageError, OSError) as exc:
                _log.warning("what is left of %s: %s", uid, exc)
        self._report_orphans(left)

    def _report_orphans(self, left: Mapping[Uid, Record | None]) -> None:
        """Say once what is kept although its MetricsStorage is gone: somebody took our finalizer off."""
        retained = self._reported - self.orphans
        for uid in left.keys() - self._reported:
            record = left[uid]
            if record and record.phase is Phase.RETAINED:
                retained |= {uid}
                continue
            what = f"{record.identity}: directory {record.phase}" if record else f"volume ms-{uid}"
            _log.warning("orphan: %s has no MetricsStorage any more; it is kept until a person removes it", what)
        self._reported = frozenset(left)
        self.orphans = self._reported - retained

    async def _every(self, resource: Resource, selector: str = "") -> AsyncIterator[dict[str, Any]]:
        namespaces = self._namespaces if resource.namespaced else [None]
        for namespace in namespaces:
            async for item in self._api.list(resource, namespace, selector):
                yield item


def _waits_for_a_person(body: Mapping[str, Any]) -> bool:
    stalled = StorageResource(body).condition("Stalled")
    return bool(stalled) and stalled["reason"] != reasons.QUARANTINED


def _uid_of(item: Mapping[str, Any]) -> Uid | None:
    """The uid in the label of an object; one without, or with anything else in it, is not ours."""
    return Uid.parse(item["metadata"]["labels"].get(UID_LABEL, ""))
