"""Where directories are provisioned: all that the reconciler and the sweep know of storage volumes."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from metrics_storage.controller.engine_api import Engine
from metrics_storage.errors import MetricsStorageError, NodeLostError
from metrics_storage.kube.claims import Claims
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.kube.volumes import Volumes
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.survey import Survey

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """A storage volume: its id, the engine that works on it, how Pods reach its directories, and by which volumes.

    `recorded` says that a status has to name the volume, because there are others.
    """

    engine: Engine
    volume_id: Uid
    template: VolumeTemplate
    volumes: Volumes
    recorded: bool = False

    def placement(self, identity: Identity) -> dict[str, Any]:
        """Path, node and volume of a directory, as `Findings` takes them."""
        return {
            "path": self.template.path(identity.relative_path),
            "node_name": self.template.node_name,
            "volume_id": self.volume_id if self.recorded else None,
        }


class Sites(Protocol):
    """The storage volumes that directories may be on."""

    volume_selector: str
    """Label selector of the PersistentVolumes that may point into them."""

    @property
    def claims(self) -> Claims | None:
        """The claims of those that wait for a consumer; None where there is one volume, and nothing to wait for."""

    def find(self, uid: Uid, placed: Uid | None) -> Site | None:
        """Where the directory of a uid is, or is to be, `placed` being the volume that the status names; or nowhere.

        Raises:
            JournalError: several volumes know it.
        """

    async def choose(self, uid: Uid, node_selector: Mapping[str, str], node: str | None = None) -> Site:
        """Where the directory of a uid is to be that is nowhere yet: on `node`, where the scheduler chose one.

        Raises:
            NodeUnavailableError: no node that is connected now will do.
            KubernetesError: the API server cannot be asked about nodes now.
        """

    async def survey(self) -> Mapping[Uid, Survey]:
        """What the volumes know that can be asked now, by their ids."""

    def is_away_for_a_moment(self, site: Site) -> bool:
        """Whether its engine cannot be asked, which may be over before anybody needs to know."""

    async def loss_of(self, site: Site, *, known: bool) -> NodeLostError | None:
        """What a person is to be told where a volume is not expected back by itself; `known` says that he was told.

        Raises:
            MetricsStorageError: that cannot be found out now.
        """

    async def is_given_up(self, site: Site, uid: Uid, *, evidence: bool) -> bool:
        """Whether the deletion of a uid need not wait for its volume, which is not expected back by itself.

        `evidence` says that its directory is to be archived: that is given up by a person alone.

        Raises:
            MetricsStorageError, OSError: that cannot be found out now.
        """


class OneSite:
    """The one storage volume of an operator that has its engine itself."""

    claims = None

    def __init__(self, site: Site, volume_selector: str) -> None:
        self._site = site
        self.volume_selector = volume_selector

    def find(self, _uid: Uid, _placed: Uid | None) -> Site:
        return self._site

    async def choose(self, _uid: Uid, _node_selector: Mapping[str, str], _node: str | None = None) -> Site:
        return self._site

    async def survey(self) -> Mapping[Uid, Survey]:
        # What is here is looked at one by one: no message is spared, and each waits for what else happens to it.
        try:
            return {self._site.volume_id: Survey(await self._site.engine.uids(), {})}
        except (MetricsStorageError, OSError) as exc:
            _log.warning("%s", exc)
            return {}

    def is_away_for_a_moment(self, _site: Site) -> bool:
        return False

    async def loss_of(self, _site: Site, *, known: bool) -> None:  # noqa: ARG002
        return None

    async def is_given_up(self, _site: Site, _uid: Uid, *, evidence: bool) -> bool:  # noqa: ARG002
        return False
