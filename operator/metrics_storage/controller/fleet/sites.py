"""The storage volumes of all nodes: where a directory is, and where a new one goes."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from metrics_storage.constants import VOLUME_ID_LABEL
from metrics_storage.controller.fleet.absences import Absences
from metrics_storage.controller.fleet.admission import BindingStore
from metrics_storage.controller.fleet.agents import Agent, Agents
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.controller.site import Site
from metrics_storage.errors import JournalError, MetricsStorageError, NodeLostError, NodeUnavailableError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.resources import NODES
from metrics_storage.kube.volume_source import HOSTNAME_LABEL, VolumeTemplate, on_host
from metrics_storage.kube.volumes import Volumes
from metrics_storage.model.identity import Uid
from metrics_storage.model.survey import Survey

_log = logging.getLogger(__name__)

_MOMENT: Final = 60.0
"""Seconds that an agent may be away before idle MetricsStorages say so: as long as a new Pod of it may take."""


class FleetSites:
    """The storage volumes of agents, each at the same directory of its node."""

    volume_selector = VOLUME_ID_LABEL

    def __init__(
        self,
        agents: Agents,
        bindings: BindingStore,
        absences: Absences,
        api: Api,
        waiter: DeletionWaiter,
        *,
        directory: str,
    ) -> None:
        """`directory` is where the storage volume is on every node, as the kubelet sees it."""
        self.claims = Claims(api, waiter)
        self._agents = agents
        self._bindings = bindings
        self._absences = absences
        self._api = api
        self._waiter = waiter
        self._directory = directory

    def find(self, uid: Uid, placed: Uid | None) -> Site | None:
        if placed is not None:
            return self._site(placed)
        knowing = [agent for agent in self._agents if uid in agent.uids]
        if len(knowing) > 1:
            nodes = ", ".join(sorted(agent.pod.node for agent in knowing))
            raise JournalError(
                f"the journals of {nodes} all have an entry of {uid}: keep one, and move the others away"
            )
        return self._site(knowing[0].volume_id) if knowing else None

    async def choose(self, uid: Uid, node_selector: Mapping[str, str], node: str | None = None) -> Site:
        """The connected agent with the fewest storages, or that of `node`; free bytes decide between equals."""
        candidates = [agent for agent in self._agents if node in (None, agent.pod.node)]
        for agent in sorted(candidates, key=_preference):
            if not _has_labels(agent.pod.labels, node_selector):
                continue
            agent.uids.add(uid)  # At once: others choose while the API server is asked.
            may_take = False
            try:
                may_take = await self._may_take(agent, node_selector)
            finally:
                if not may_take:
                    agent.uids.discard(uid)
            if may_take:
                return self._site(agent.volume_id)
        wanted = ", ".join(f"{name}={value}" for name, value in node_selector.items())
        which = f"node {node} cannot" if node else f"none of the {len(self._agents)} connected nodes can"
        raise NodeUnavailableError(
            f"{which} take it{' with ' + wanted if wanted else ''}: one that is not connected, or cordoned, or being "
            "removed gets nothing new"
        )

    async def survey(self) -> Mapping[Uid, Survey]:
        volume_ids = [agent.volume_id for agent in self._agents]
        found = zip(volume_ids, await asyncio.gather(*map(self._survey, volume_ids)), strict=True)
        surveys = {volume_id: survey for volume_id, survey in found if survey is not None}
        there = [*surveys, *(uid for survey in surveys.values() for uid in survey.uids)]
        try:
            await self._absences.are_there(there)
        except (MetricsStorageError, OSError) as exc:
            _log.warning("%s", exc)
        return surveys

    async def _survey(self, volume_id: Uid) -> Survey | None:
        engine = RemoteEngine(self._agents, volume_id)
        try:
            try:
                return await engine.survey()
            except NodeUnavailableError as exc:  # It may take too long, or the agent be older than surveys.
                _log.info("%s", exc)
                return Survey(await engine.uids(), {})
        except (MetricsStorageError, OSError) as exc:
            _log.warning("%s", exc)
            return None

    def is_away_for_a_moment(self, site: Site) -> bool:
        return 0 < self._agents.seconds_away(site.volume_id) < _MOMENT

    async def loss_of(self, site: Site, *, known: bool) -> NodeLostError | None:
        loss = await self._absences.loss_of(site.volume_id, known=known)
        return loss.error if loss else None

    async def is_given_up(self, site: Site, uid: Uid, *, evidence: bool) -> bool:
        return await self._absences.is_given_up(site.volume_id, uid, evidence=evidence)

    async def _may_take(self, agent: Agent, node_selector: Mapping[str, str]) -> bool:
        """Whether a node takes new directories, as it is now."""
        node: dict[str, Any] | None = await self._api.get(NODES, agent.pod.node)
        return (
            node is not None
            and node["metadata"]["uid"] == agent.pod.node_uid
            and "deletionTimestamp" not in node["metadata"]
            and not node["spec"].get("unschedulable")
            and _has_labels(node["metadata"].get("labels") or {}, node_selector)
            and not agent.ended.is_set()
        )

    def _site(self, volume_id: Uid) -> Site:
        host = self._host(volume_id)
        template = on_host(self._directory, host) if host else VolumeTemplate("local", self._directory)
        volumes = Volumes(self._api, self._waiter, template, volume_id)
        return Site(RemoteEngine(self._agents, volume_id), volume_id, template, volumes, recorded=True)

    def _host(self, volume_id: Uid) -> str | None:
        """What Pods' node affinity calls the node of a volume, None where no agent was ever seen with it."""
        if (agent := self._agents.get(volume_id)) is not None:
            return agent.pod.labels.get(HOSTNAME_LABEL, agent.pod.node)
        known = self._bindings.of_volume(volume_id)
        return known.node if known else None


def _preference(agent: Agent) -> tuple[int, int, str]:
    return len(agent.uids), -agent.free_bytes, agent.pod.node


def _has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()
