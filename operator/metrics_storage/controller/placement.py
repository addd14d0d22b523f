"""Where the directory of a MetricsStorage is, or is to be: found, or chosen and written down before it is made."""

from metrics_storage.controller.events import Events
from metrics_storage.controller.site import Site, Sites
from metrics_storage.controller.steps import Steps
from metrics_storage.controller.subject import Subject
from metrics_storage.errors import NodeUnavailableError, ObjectChangedError
from metrics_storage.kube.claims import selected_node
from metrics_storage.model import reasons
from metrics_storage.model.spec import VolumeBindingMode, parse_binding_mode, parse_node_selector, parse_spec
from metrics_storage.model.status import Findings


class Placement:
    """Finds and chooses storage volumes, for one MetricsStorage at a time."""

    def __init__(self, sites: Sites, events: Events) -> None:
        self._sites = sites
        self._events = events

    def find(self, subject: Subject) -> Site | None:
        """Where the directory is, or is to be; None where that is not decided.

        Raises:
            JournalError: several volumes know it.
        """
        return self._sites.find(subject.identity.uid, subject.storage_volume_id)

    def waits_for_consumer(self, subject: Subject) -> bool:
        """Whether a directory that is nowhere yet is made where the scheduler sends the first Pod that needs it."""
        return (
            self._sites.claims is not None
            and not subject.quarantine_reason
            and parse_binding_mode(subject.spec) is VolumeBindingMode.WAIT_FOR_FIRST_CONSUMER
        )

    async def place(self, subject: Subject) -> Site | None:
        """Where the directory is, or is to be from now on: the status says that before it is made.

        None where it waits for its first consumer.

        Raises:
            NodeUnavailableError: no node will do now.
            ObjectChangedError: the status could not say it.
        """
        site = self.find(subject) or await self._choose(subject)
        if site is not None and site.recorded and subject.storage_volume_id is None:
            # Whoever waits for its consumer was Ready before, and goes on to be.
            waiting_claim = subject.identity.name if self.waits_for_consumer(subject) else None
            await Steps(subject, site, self._events).publish(None, waiting_claim=waiting_claim)
            if subject.storage_volume_id != site.volume_id:
                raise ObjectChangedError(f"{subject.identity} was not placed: its status was refused")
        return site

    async def _choose(self, subject: Subject) -> Site | None:
        identity, selector = subject.identity, parse_node_selector(subject.spec)
        if self._sites.claims is None or not self.waits_for_consumer(subject):
            return await self._sites.choose(identity.uid, selector)
        spec, _ = parse_spec(subject.spec)
        claim, _ = await self._sites.claims.ensure(identity, spec, parse_binding_mode(subject.spec), fresh=False)
        node = selected_node(claim)
        if node is not None:
            try:
                return await self._sites.choose(identity.uid, selector, node)
            except NodeUnavailableError as exc:
                await self._events.warn(identity, reasons.NODE_UNAVAILABLE, f"{exc}; the scheduler chooses again")
                await self._sites.claims.refuse_node(claim)
        await subject.publish(Findings(record=None, waiting_claim=identity.name))
        return None
