"""Where directories are provisioned: all that the reconciler and the sweep know of a storage volume."""

from dataclasses import dataclass
from typing import Any

from metrics_storage.controller.engine_api import Engine
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.model.identity import Identity


@dataclass(frozen=True, slots=True)
class Site:
    """A storage volume: its id, the engine that works on it, and how Pods reach its directories."""

    engine: Engine
    volume_id: str
    template: VolumeTemplate

    def placement(self, identity: Identity) -> dict[str, Any]:
        """Path and node of a directory, as `Findings` takes them."""
        return {"path": self.template.path(identity.relative_path), "node_name": self.template.node_name}
