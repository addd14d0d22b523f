"""What has to happen to one MetricsStorage, level-based: every call looks at everything and goes on from there.

Nothing here knows kopf. Errors leave as they come, after the status says them; the handlers' boundary decides
what they mean for retries.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from metrics_storage.controller.attempts import Attempts
from metrics_storage.controller.decisions import deletion_reason, wants_quarantine, wants_retention
from metrics_storage.controller.events import Events
from metrics_storage.controller.fair_queue import FairQueue
from metrics_storage.controller.refusals import Refusals
from metrics_storage.controller.site import Site
from metrics_storage.controller.subject import Subject
from metrics_storage.errors import (
    ClaimInUseError,
    KubernetesError,
    MetricsStorageError,
    ObjectChangedError,
)
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims
from metrics_storage.model import reasons
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import parse_spec
from metrics_storage.model.status import Findings
from metrics_storage.timestamps import utc_now

_log = logging.getLogger(__name__)

_CLAIM_TIMEOUT: Final = 10.0
"""Seconds that one attempt waits for a claim or volume to go; Pods that use it may need much longer."""

_PROVIDED_AT_ONCE: Final = 32
"""MetricsStorages that are provided at the same time: enough to keep disk and API server busy."""

_IDLE_CLAIM_TIMEOUT: Final = 0.3
"""Seconds that the claim of a flagged directory gets to go before a provisional archive is taken: idle ones do."""


class Reconciler:
    """Makes directory, claim, volume, archive and status of a MetricsStorage follow what it asks for."""

    def __init__(self, api: Api, site: Site, claims: Claims, events: Events) -> None:
        self._api = api
        self._site = site
        self._engine = site.engine
        self._claims = claims
        self._events = events
        self._places = FairQueue(_PROVIDED_AT_ONCE)
        self._attempts = Attempts()
        self._refusals = Refusals()

    async def reconcile(self, body: Mapping[str, Any]) -> None:
        """Converge a MetricsStorage that is not being deleted."""
        subject = Subject(body, self._api)
        async with self._attempt(subject):
            record = await self._engine.find(subject.identity.uid)
            if record is None:
                await self._check_not_lost(subject)
            if subject.quarantine_reason or (record and record.quarantine):
                await self._quarantine(subject, record, subject.quarantine_reason or "")
            else:
                await self._provide(subject, record)

    async def look_after(self, body: Mapping[str, Any], *, bound: bool) -> None:
        """Measure a MetricsStorage out of a list, and converge it where it is not as it should be.

        What a handler is working on, or will come back to by itself, is left to it: quarantine and deletion.
        `bound` says that claim and volume were seen to be right.
        """
        subject = Subject(body, self._api)
        if subject.deleting or not subject.finalized or self._attempts.is_running(subject.identity.uid):
            return
        async with self._attempt(subject):
            record = await self._engine.find(subject.identity.uid)
            if subject.quarantine_reason or (record and record.quarantine):
                return
            if record is None or record.phase is not Phase.PROVISIONED or not bound:
                # A list may be old by now, and nothing is made for what was deleted meanwhile.
                fresh = await subject.read_again()
                if fresh is None or fresh.deleting or fresh.quarantine_reason:
                    return
                subject.follow(fresh)
            if record is None:
                await self._check_not_lost(subject)
            await self._provide(subject, record, bound=bound, measure=True)

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

    async def is_latched(self, uid: Uid) -> bool:
        """Whether the journal has a quarantine for it, or cannot tell."""
        try:
            record = await self._engine.find(uid)
        except (MetricsStorageError, OSError):
            return True
        return record is not None and record.quarantine is not None

    async def forget(self, uid: Uid) -> None:
        """Drop the journal entry of a MetricsStorage that has left the API server."""
        self._attempts.forget(uid)
        self._refusals.forget(uid)
        await self._engine.forget(uid)

    async def _check_not_lost(self, subject: Subject) -> None:
        """What the journal does not know, although it was provided once, is not a new beginning.

        Raises:
            DirectoryExistsError, DirectoryVanishedError: a person must look.
        """
        if subject.was_provisioned:
            await self._engine.check_never_made(subject.identity, claimed=True)

    async def _finalize(self, subject: Subject) -> None:
        identity = subject.identity
        record = await self._engine.find(identity.uid)
        if subject.was_ready:
            await self._publish(subject, record)
        if record is None:
            await self._engine.check_never_made(identity, claimed=subject.was_provisioned)
            await self._claims.withdraw_claim(identity, _CLAIM_TIMEOUT)
            await self._claims.withdraw_volume(identity, _CLAIM_TIMEOUT)
            return
        if not wants_quarantine(subject, record):
            await self._claims.withdraw_claim(identity, _CLAIM_TIMEOUT)
            # Waiting may have taken long: an annotation that came meanwhile counts, and nothing is destroyed
            # for an object that somebody made vanish by taking our finalizer off.
            fresh = await subject.read_again()
            if fresh is None or not fresh.deleting:
                raise ObjectChangedError(f"{identity} is not being deleted any more; its directory is kept")
            subject = fresh
        if wants_quarantine(subject, record):
            await self._quarantine(subject, record, deletion_reason(subject))
        elif wants_retention(subject, record):
            await self._engine.retain(identity)
        else:
            await self._engine.condemn(identity)
            await self._engine.remove(identity)
        await self._claims.withdraw_volume(identity, _CLAIM_TIMEOUT)

    async def _provide(
        self, subject: Subject, record: Record | None, *, bound: bool = False, measure: bool = False
    ) -> None:
        identity = subject.identity
        spec, _ = parse_spec(subject.spec)
        async with self._places.slot(identity.namespace):
            ensured = await self._engine.ensure(identity, spec)
            repairs = ensured.repairs
            if not bound:
                made = await self._claims.ensure(identity, spec, fresh=record is None)
                repairs += made if subject.was_ready else ()
        usage = await self._engine.measure(identity) if measure else None
        findings = Findings(record=ensured.record, bound=True, usage=usage, **self._site.placement(identity))
        if measure and not subject.says(findings):
            # It comes out of a list, which may be old: who is being deleted by now must not look Ready again.
            fresh = await subject.read_again()
            if fresh is None or fresh.deleting or fresh.quarantine_reason:
                return
            subject = fresh
        await subject.publish(findings)
        for repair in repairs:
            await self._events.warn(identity, reasons.REPAIRED, repair)
        if record is None:
            await self._events.tell(identity, reasons.PROVISIONED, f"directory {findings.path} is ready")

    async def _quarantine(self, subject: Subject, record: Record | None, reason: str) -> None:
        """Go on with a quarantine until the archive is verified and the source and its volume are gone.

        What the status says of the last attempt stands until it is overcome, so that a person who must act is not
        called anew with every attempt.
        """
        identity = subject.identity
        if record is None:
            record = (await self._engine.ensure(identity, parse_spec(subject.spec)[0])).record
        if record.quarantine is None:
            record = await self._engine.latch(identity, reason, utc_now())
            await self._events.warn(identity, reasons.QUARANTINE_REQUESTED, reason)
        if record.phase is not Phase.GONE:
            if not subject.is_told_of_quarantine:
                await self._publish(subject, record)
            await self._withdraw_claim_of_evidence(identity)
            if not subject.is_stalled:
                await self._publish(subject, record)
            record = await self._engine.archive(identity)
            await self._publish(subject, record)
            await self._engine.condemn(identity)
            record = await self._engine.remove(identity)
            if record.quarantine and (archive := record.quarantine.archive):
                message = f"{archive.path} ({archive.files} files, sha256 {archive.sha256}) is committed and verified"
                if record.quarantine.accepted_losses:
                    message += ", without what a person accepted as lost"
                await self._events.tell(identity, reasons.QUARANTINED, message)
        await self._claims.withdraw_volume(identity, _CLAIM_TIMEOUT)
        await self._publish(subject, record)

    async def _withdraw_claim_of_evidence(self, identity: Identity) -> None:
        """Wait until nobody uses the directory; who is still using it must not get the time to shred it."""
        try:
            await self._claims.withdraw_claim(identity, _IDLE_CLAIM_TIMEOUT)
        except ClaimInUseError:
            try:
                await self._engine.snapshot(identity)
            except MetricsStorageError as exc:
                _log.warning("%s: no provisional archive: %s", identity, exc)
            await self._claims.withdraw_claim(identity, _CLAIM_TIMEOUT)

    async def _publish(self, subject: Subject, record: Record | None) -> None:
        place = self._site.placement(subject.identity)
        await subject.publish(Findings(record=record, deleting=subject.deleting, **place))

    @asynccontextmanager
    async def _attempt(self, subject: Subject) -> AsyncIterator[None]:
        """One at a time for each uid; what goes wrong is said in the status before it goes on its way."""
        uid = subject.identity.uid
        async with self._attempts.lock(uid):
            try:
                with self._refusals_told(subject):
                    yield
            except Exception as exc:
                self._attempts.retry_after(uid, explain(exc).retry_after)
                await self._publish_failure(subject, exc)
                raise
            self._refusals.forget(uid)

    @contextmanager
    def _refusals_told(self, subject: Subject) -> Iterator[None]:
        try:
            yield
        except KubernetesError as exc:
            known = subject.says_reason(reasons.REQUEST_REFUSED)
            raise self._refusals.judge(subject.identity.uid, exc, known=known) from exc.__cause__

    async def _find_if_possible(self, subject: Subject) -> Record | None:
        """What the journal knows, None also where the volume cannot be read."""
        try:
            return await self._engine.find(subject.identity.uid)
        except (MetricsStorageError, OSError):
            return None

    async def _publish_failure(self, subject: Subject, exc: Exception) -> None:
        problem = explain(exc)
        known = subject.says_reason(problem.reason)
        try:
            record = await self._find_if_possible(subject)
            place = self._site.placement(subject.identity) if record else {}
            await subject.publish(Findings(record=record, problem=problem, deleting=subject.deleting, **place))
            if problem.stalled and not known:
                await self._events.warn(subject.identity, problem.reason, problem.message)
        except MetricsStorageError as refusal:
            _log.warning("%s: the status could not say: %s (%s)", subject.identity, problem.message, refusal)
