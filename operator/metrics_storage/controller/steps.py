"""What has to happen to one MetricsStorage on its storage volume: provide, archive, remove, and say so."""

import logging
from typing import Final

from metrics_storage.controller.decisions import deletion_reason, wants_quarantine, wants_retention
from metrics_storage.controller.events import Events
from metrics_storage.controller.fair_queue import FairQueue
from metrics_storage.controller.site import Site
from metrics_storage.controller.subject import Subject
from metrics_storage.errors import ClaimInUseError, MetricsStorageError, NodeLostError, ObjectChangedError
from metrics_storage.model import reasons
from metrics_storage.model.error_reasons import Explanation, explain
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import VolumeBindingMode, parse_binding_mode, parse_spec
from metrics_storage.model.status import Findings
from metrics_storage.model.usage import Usage
from metrics_storage.timestamps import utc_now

_log = logging.getLogger(__name__)

CLAIM_TIMEOUT: Final = 10.0
"""Seconds that one attempt waits for a claim or volume to go; Pods that use it may need much longer."""

_IDLE_CLAIM_TIMEOUT: Final = 0.3
"""Seconds that the claim of a flagged directory gets to go before a provisional archive is taken: idle ones do."""


class Steps:
    """The steps of one MetricsStorage, as it was seen, on the storage volume that its directory is on."""

    def __init__(self, subject: Subject, site: Site, events: Events) -> None:
        self._subject = subject
        self._identity = subject.identity
        self._site = site
        self._engine = site.engine
        self._volumes = site.volumes
        self._claims = site.volumes.claims
        self._events = events

    async def check_not_lost(self) -> None:
        """What the journal does not know, although it was provided once, is not a new beginning.

        Raises:
            DirectoryExistsError, DirectoryVanishedError: a person must look.
        """
        if self._subject.was_provisioned:
            await self._engine.check_never_made(self._identity, claimed=True)

    async def provide(
        self,
        record: Record | None,
        queue: FairQueue,
        *,
        bound: bool = False,
        measure: bool = False,
    ) -> None:
        """Make directory, claim, volume and binding, or see that they are there.

        `bound` says that claim and volume were seen to be right; with `measure`, usage is measured as well.
        """
        identity, subject = self._identity, self._subject
        spec, _ = parse_spec(subject.spec)
        async with queue.slot(identity.namespace):
            ensured = await self._engine.ensure(identity, spec)
            repairs = ensured.repairs
            if not bound:
                # Where there is one volume, there is nothing to wait for.
                mode = parse_binding_mode(subject.spec) if self._site.recorded else VolumeBindingMode.IMMEDIATE
                made = await self._volumes.ensure(identity, spec, mode, fresh=record is None)
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

    def is_told(self, usage: Usage) -> bool:
        """Whether the status says what follows where directory, claim and volume are right, and the usage is this."""
        record = Record(identity=self._identity, spec=parse_spec(self._subject.spec)[0], phase=Phase.PROVISIONED)
        place = self._site.placement(self._identity)
        return self._subject.says(Findings(record=record, bound=True, usage=usage, **place))

    async def quarantine(self, record: Record | None, reason: str) -> None:
        """Go on with a quarantine until the archive is verified and the source and its volume are gone.

        What the status says of the last attempt stands until it is overcome, so that a person who must act is not
        called anew with every attempt.
        """
        identity, subject = self._identity, self._subject
        if record is None:
            record = (await self._engine.ensure(identity, parse_spec(subject.spec)[0])).record
        if record.quarantine is None:
            record = await self._engine.latch(identity, reason, utc_now())
            await self._events.warn(identity, reasons.QUARANTINE_REQUESTED, reason)
        if record.phase is not Phase.GONE:
            if not subject.is_told_of_quarantine:
                await self.publish(record)
            await self._withdraw_claim_of_evidence()
            if not subject.is_stalled:
                await self.publish(record)
            record = await self._engine.archive(identity)
            await self.publish(record)
            await self._engine.condemn(identity)
            record = await self._engine.remove(identity)
            if record.quarantine and (archive := record.quarantine.archive):
                message = f"{archive.path} ({archive.files} files, sha256 {archive.sha256}) is committed and verified"
                if record.quarantine.accepted_losses:
                    message += ", without what a person accepted as lost"
                await self._events.tell(identity, reasons.QUARANTINED, message)
        await self._volumes.withdraw(identity, CLAIM_TIMEOUT)
        await self.publish(record)

    async def finalize(self) -> None:
        """Undo everything, archiving it first where that is asked for."""
        identity, subject = self._identity, self._subject
        record = await self._engine.find(identity.uid)
        if subject.was_ready:
            await self.publish(record)
        if record is None:
            await self._engine.check_never_made(identity, claimed=subject.was_provisioned)
            await self._claims.withdraw(identity, CLAIM_TIMEOUT)
            await self._volumes.withdraw(identity, CLAIM_TIMEOUT)
            return
        if not wants_quarantine(subject, record):
            await self._claims.withdraw(identity, CLAIM_TIMEOUT)
            # Waiting may have taken long: an annotation that came meanwhile counts, and nothing is destroyed
            # for an object that somebody made vanish by taking our finalizer off.
            fresh = await subject.read_again()
            if fresh is None or not fresh.deleting:
                raise ObjectChangedError(f"{identity} is not being deleted any more; its directory is kept")
            self._subject = subject = fresh
        if wants_quarantine(subject, record):
            await self.quarantine(record, deletion_reason(subject))
        elif wants_retention(subject, record):
            await self._engine.retain(identity)
        else:
            await self._engine.condemn(identity)
            await self._engine.remove(identity)
        await self._volumes.withdraw(identity, CLAIM_TIMEOUT)

    async def withdraw(self, loss: NodeLostError) -> None:
        """Take claim and volume away, leaving the directory on a node that does not come back."""
        await self.publish(None, explain(loss))
        await self._claims.withdraw(self._identity, CLAIM_TIMEOUT)
        await self._volumes.withdraw(self._identity, CLAIM_TIMEOUT)

    async def publish(
        self, record: Record | None, problem: Explanation | None = None, *, waiting_claim: str | None = None
    ) -> None:
        """Say in the status how far it is."""
        place = self._site.placement(self._identity)
        await self._subject.publish(
            Findings(
                record=record, problem=problem, deleting=self._subject.deleting, waiting_claim=waiting_claim, **place
            )
        )

    async def _withdraw_claim_of_evidence(self) -> None:
        """Wait until nobody uses the directory; who is still using it must not get the time to shred it."""
        identity = self._identity
        try:
            await self._claims.withdraw(identity, _IDLE_CLAIM_TIMEOUT)
        except ClaimInUseError:
            try:
                await self._engine.snapshot(identity)
            except MetricsStorageError as exc:
                _log.warning("%s: no provisional archive: %s", identity, exc)
            await self._claims.withdraw(identity, CLAIM_TIMEOUT)
