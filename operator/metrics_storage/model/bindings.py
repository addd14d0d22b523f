"""Which storage volume belongs to which node, as a value."""

from dataclasses import dataclass

from metrics_storage.model.identity import Uid


@dataclass(frozen=True, slots=True)
class Binding:
    """A storage volume and the node that it was first seen on. Names of nodes are used again, uids are not."""

    volume_id: Uid
    node: str
    node_uid: Uid
