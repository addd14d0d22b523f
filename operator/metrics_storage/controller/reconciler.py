"""What has to happen to one MetricsStorage, level-based: every call looks at everything and goes on from there.

Nothing here knows kopf. Errors leave as they come, after the status says them; the handlers' boundary decides
what they mean for retries.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from metrics_storage.controller.attempts import Attempts
from metrics_storage.controller.decisions import asks_for_archive
from metrics_storage.controller.events import Events
from metrics_storage.controller.fair_queue import FairQueue
from metrics_storage.controller.placement import Placement
from metrics_storage.controller.refusals import Refusals
from metrics_storage.controller.site import Site, Sites
from metrics_storage.controller.steps import CLAIM_TIMEOUT, Steps
from metrics_storage.controller.subject import Subject
from metrics_storage.errors import (
    KubernetesError,
    MetricsStorageError,
    NodeUnavailableError,
    ObjectChangedError,
)
from metrics_storage.kube.api import Api
from metrics_storage.model import reasons
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.identity import Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.status import Findings
from metrics_storage.model.usage import Usage

_log = logging.getLogger(__name__)

_PROVIDED_AT_ONCE: Final = 32
"""MetricsStorages that are provided at the same time: enough to keep disk and API server busy."""


class Reconciler:
    """Makes directory, claim, volume, archive and status of a MetricsStorage follow what it asks for."""

    def __init__(self, api: Api, sites: Sites, events: Events) -> None:
        self._api = api
        self._sites = sites
        self._placement = Placement(api, sites, events)
        self._events = events
        self._queue = FairQueue(_PROVIDED_AT_ONCE)
        self._attempts = Attempts()
        self._refusals = Refusals()

    async def reconcile(self, body: Mapping[str, Any]) -> None:
        """Converge a MetricsStorage that is not being deleted."""
        subject = Subject(body, self._api)
        async with self._attempt(subject):
            await self._converge(subject)

    async def consume(self, body: Mapping[str, Any]) -> None:
        """Converge a MetricsStorage as it is now, because a Pod that mounts its claim was scheduled to a node."""
        subject = Subject(body, self._api)
        async with self._attempt(subject):
            if await subject.refresh() and subject.finalized and not subject.deleting:
                await self._converge(subject)

    async def look_after(
        self, body: Mapping[str, Any], *, bound: bool, waiting: bool = False, usage: Usage | None = None
    ) -> None:
        """Measure a MetricsStorage out of a list, and converge it where it is not as it should be.

        What a handler is working on, or will come back to by itself, is left to it: quarantine and deletion.
        `bound` says that claim and volume were seen to be right, `waiting` that the claim is there and no Pod needs a
        volume yet. `usage` is that of the directory, where it was in its place a moment ago.
        """
        subject = Subject(body, self._api)
        if subject.deleting or not subject.finalized or self._attempts.is_running(subject.identity.uid):
            return
        site = self._placement.find(subject)
        if site is None and not waiting and self._placement.waits_for_consumer(subject):
            await self.consume(body)
        if site is None or self._sites.is_away_for_a_moment(site):
            return
        steps = Steps(subject, site, self._events)
        async with self._attempt(subject):
            if usage is not None and bound and steps.is_told(usage):
                return
            record = await site.engine.find(subject.identity.uid)
            if subject.quarantine_reason or (record and record.quarantine):
                return
            if record is None or record.phase is not Phase.PROVISIONED or not bound:
                # A list may be old by now, and nothing is made for what was deleted meanwhile.
                fresh = await subject.read_again()
                if fresh is None or fresh.deleting or fresh.quarantine_reason:
                    return
                subject.follow(fresh)
            if record is None and site.recorded:
                await self._converge(subject)  # Its place has to be in the status first.
                return
            if record is None:
                await steps.check_not_lost()
            await steps.provide(record, self._queue, bound=bound, measure=True)

    async def finalize(self, body: Mapping[str, Any]) -> None:
        """Undo everything a MetricsStorage had, archiving it first where that is asked for.

        Returns only when the journal says that the directory is gone, left to its owner, or was never made.
        """
        subject = Subject(body, self._api)
        async with self._attempt(subject):
            await self._finalize(subject)

    async def conclude(self, body: Mapping[str, Any]) -> None:
        """Finalize a MetricsStorage that no handler comes back to, and take our finalizer off.

        kopf stops serving objects whose definition is being deleted, though they wait for their finalizers.
        """
        uid = Uid(body["metadata"]["uid"])
        if not self._attempts.may_run(uid):
            return
        subject = Subject(body, self._api)
        async with self._attempt(subject):
            await self._finalize(subject)
            fresh = await subject.read_again()
            if fresh is not None and fresh.deleting:
                await fresh.release()

    async def take_over(self, body: Mapping[str, Any]) -> None:
        """Put our finalizer on a MetricsStorage that kopf did not get to hold.

        kopf only logs where that is refused; here it comes into the status.
        """
        subject = Subject(body, self._api)
        if not self._attempts.is_running(subject.identity.uid):
            async with self._attempt(subject):
                fresh = await subject.read_again()
                if fresh is not None and not fresh.deleting:
                    await fresh.hold()

    async def resume(self, body: Mapping[str, Any]) -> None:
        """Go on with a quarantine that no handler came back to, long after the next attempt was due.

        kopf drops an object for which the API server refuses the request by which kopf means to come back.
        """
        uid = Uid(body["metadata"]["uid"])
        if self._attempts.is_overdue(uid):
            await self.reconcile(body)

    async def is_latched(self, body: Mapping[str, Any]) -> bool:
        """Whether the journal has a quarantine for a MetricsStorage, or cannot tell."""
        subject = Subject(body, self._api)
        try:
            site = self._placement.find(subject)
            record = await site.engine.find(subject.identity.uid) if site else None
        except (MetricsStorageError, OSError):
            return True
        return record is not None and record.quarantine is not None

    async def forget(self, uid: Uid, placed: Uid | None = None) -> None:
        """Drop the journal entry of a MetricsStorage that has left the API server.

        `placed` is the storage volume that its status named.
        """
        self._attempts.forget(uid)
        self._refusals.forget(uid)
        if (site := self._sites.find(uid, placed)) is not None:
            await site.engine.forget(uid)

    async def _converge(self, subject: Subject) -> None:
        site = await self._placement.place(subject)
        if site is None:
            return
        steps = Steps(subject, site, self._events)
        record = await site.engine.find(subject.identity.uid)
        if record is None:
            await steps.check_not_lost()
        if subject.quarantine_reason or (record and record.quarantine):
            await steps.quarantine(record, subject.quarantine_reason or "")
        else:
            await steps.provide(record, self._queue)

    async def _finalize(self, subject: Subject) -> None:
        site = await self._placement.locate(subject)
        if site is None:  # It was never placed, and nothing was ever made but perhaps a claim.
            if self._sites.claims is not None:
                await self._sites.claims.withdraw(subject.identity, CLAIM_TIMEOUT)
            return
        steps = Steps(subject, site, self._events)
        if site.recorded and subject.storage_volume_id is None:
            await steps.publish(None)  # Whoever waits for a node is told for which.
        try:
            await steps.finalize()
        except NodeUnavailableError:
            if not await self._give_up(subject, site):
                raise

    async def _give_up(self, subject: Subject, site: Site) -> bool:
        """Let a MetricsStorage go without its directory, where that was given up; whether it was.

        The directory is left as it is, for the case that its node comes back after all.
        """
        uid, identity = subject.identity.uid, subject.identity
        fresh = await subject.read_again()
        if fresh is None or not fresh.deleting:
            return False
        loss = await self._sites.loss_of(site, known=True)
        if loss is None or not await self._sites.is_given_up(site, uid, evidence=asks_for_archive(fresh)):
            return False
        await Steps(fresh, site, self._events).withdraw(loss)
        # That may have taken long: whoever is back by now, or was flagged meanwhile, is not given up.
        fresh = await subject.read_again()
        if fresh is None or not await self._sites.is_given_up(site, uid, evidence=asks_for_archive(fresh)):
            raise ObjectChangedError(f"{identity} was given up, and is not any more")
        without = ", and without the archive that was asked for" if asks_for_archive(fresh) else ""
        message = f"given up with node {site.template.node_name}: deleted without removing its directory{without}"
        _log.warning("%s: %s", identity, message)
        await self._events.warn(identity, reasons.NODE_LOST, message)
        return True

    @asynccontextmanager
    async def _attempt(self, subject: Subject) -> AsyncIterator[None]:
        """One at a time for each uid; what goes wrong is said in the status before it goes on its way."""
        uid = subject.identity.uid
        async with self._attempts.lock(uid):
            try:
                async with self._told(subject):
                    yield
            except Exception as exc:
                self._attempts.retry_after(uid, explain(exc).retry_after)
                await self._publish_failure(subject, exc)
                raise
            self._refusals.forget(uid)

    @asynccontextmanager
    async def _told(self, subject: Subject) -> AsyncIterator[None]:
        """Raise as errors that call a person what lasts for too long."""
        try:
            yield
        except KubernetesError as exc:
            known = subject.says_reason(reasons.REQUEST_REFUSED)
            raise self._refusals.judge(subject.identity.uid, exc, known=known) from exc.__cause__
        except NodeUnavailableError as exc:
            site = self._placement.find(subject)
            known = subject.says_reason(reasons.NODE_LOST)
            loss = await self._sites.loss_of(site, known=known) if site else None
            if loss is None:
                raise
            raise loss from exc

    async def _publish_failure(self, subject: Subject, exc: Exception) -> None:
        problem = explain(exc)
        known = subject.says_reason(problem.reason)
        try:
            steps, record = await self._known(subject)
            if steps is not None:
                await steps.publish(record, problem)
            else:
                await subject.publish(Findings(record=None, problem=problem, deleting=subject.deleting))
            if problem.stalled and not known:
                await self._events.warn(subject.identity, problem.reason, problem.message)
        except MetricsStorageError as refusal:
            _log.warning("%s: the status could not say: %s (%s)", subject.identity, problem.message, refusal)

    async def _known(self, subject: Subject) -> tuple[Steps | None, Record | None]:
        """What a journal knows, and where; nothing also where no volume can be asked."""
        try:
            site = self._placement.find(subject)
            record = await site.engine.find(subject.identity.uid) if site else None
        except (MetricsStorageError, OSError):
            return None, None
        return (Steps(subject, site, self._events), record) if site and record else (None, None)
