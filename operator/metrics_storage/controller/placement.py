"""Where the directory of a MetricsStorage is, or is to be: found, or chosen and written down before it is made."""

from metrics_storage.controller.events import Events
from metrics_storage.controller.site import Site, Sites
from metrics_storage.controller.steps import Steps
from metrics_storage.controller.subject import Subject
from metrics_storage.errors import NodeUnavailableError, ObjectChangedError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import selected_node
from metrics_storage.kube.resources import VOLUMES
from metrics_storage.kube.volumes import storage_volume_id
from metrics_storage.model import reasons
from metrics_storage.model.spec import VolumeBindingMode, parse_binding_mode, parse_node_selector, parse_spec
from metrics_storage.model.status import Findings


class Placement:
    """Finds and chooses storage volumes, for one MetricsStorage at a time."""

    def __init__(self, api: Api, sites: Sites, events: Events) -> None:
        self._api = api
        self._sites = sites
        self._events = events

    def find(self, subject: Subject) -> Site | None:
        """Where the directory is, or is to be, as the status or a connected journal knows; None where none does.

        Raises:
            JournalError: several volumes know it.
        """
        return self._sites.find(subject.identity.uid, subject.storage_volume_id)

    async def locate(self, subject: Subject) -> Site | None:
        """The same, also where the status was lost, or is of a time when there was one volume; None if it is nowhere.

        Raises:
            JournalError: several volumes know it.
            NodeUnavailableError: it is somewhere, and nobody says where.
        """
        site = self.find(subject)
        if site is not None:
            return site
        identity = subject.identity
        volume = await self._api.get(VOLUMES, identity.volume_name)
        if volume is not None:
            site = self._sites.find(identity.uid, storage_volume_id(volume))
        if site is None and (volume is not None or subject.was_provisioned):
            raise NodeUnavailableError(
                f"{identity} has a directory, and neither its status nor volume {identity.volume_name} says on which "
                "storage volume: it waits for the agent whose journal knows it"
            )
        return site

    def waits_for_consumer(self, subject: Subject) -> bool:
        """Whether a directory that is nowhere yet is made where the scheduler sends the first Pod that needs it."""
        return (
            self._sites.claims is not None
            and not subject.quarantine_reason
            and parse_binding_mode(subject.spec) is VolumeBindingMode.WAIT_FOR_FIRST_CONSUMER
        )

    async def place(self, subject: Subject) -> Site | None:
        """Where the directory is, or is to be from now on: the status says that before it is made.

        None where it waits for its first consumer, or is being deleted meanwhile.

        Raises:
            NodeUnavailableError: no node will do now.
            ObjectChangedError: the status could not say it.
        """
        site = self.find(subject)
        if site is None:
            # What is known may be old, and a place is chosen once.
            if not await subject.refresh() or subject.deleting:
                return None
            site = await self.locate(subject) or await self._choose(subject)
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
