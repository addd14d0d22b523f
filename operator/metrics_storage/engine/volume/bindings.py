"""Which storage volume belongs to which node, as small files on the quarantine volume of all nodes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import VolumeError
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid

_DIRECTORY: Final = "nodes"
_SUFFIX: Final = ".json"


class Bindings:
    """The bindings on an opened, writable volume, read once; one process at a time may change them."""

    def __init__(self, volume: Volume) -> None:
        """Read all bindings.

        Raises:
            VolumeError: one is unreadable.
        """
        self._volume = volume
        volume.check()
        private_fd = volume.private_fd
        durable.make_directory(_DIRECTORY, private_fd, 0o700, like=private_fd)
        with durable.opened_directory(_DIRECTORY, private_fd) as fd:
            names = [name for name in durable.list_directory(fd) if name.endswith(_SUFFIX) and name[0] != "."]
            found = [self._read(name, durable.read_file(name, fd)) for name in names]
        self._by_volume = {binding.volume_id: binding for binding in found}

    def of_volume(self, volume_id: Uid) -> Binding | None:
        """The binding of a storage volume, None where it was never seen."""
        return self._by_volume.get(volume_id)

    def of_node(self, node_uid: Uid) -> Sequence[Binding]:
        """The bindings of a node: of the volume that it has, and of those that it had and were given up."""
        return [binding for binding in self._by_volume.values() if binding.node_uid == node_uid]

    def record(self, binding: Binding) -> None:
        """Bind a storage volume to a node, in place of its former one; durable when this returns."""
        self._volume.check()
        data = json.dumps(asdict(binding), indent=2).encode() + b"\n"
        with durable.opened_directory(_DIRECTORY, self._volume.private_fd) as fd:
            durable.write_file(f"{binding.volume_id}{_SUFFIX}", data, fd)
        self._by_volume[binding.volume_id] = binding

    def _read(self, name: str, data: bytes) -> Binding:
        try:
            said = json.loads(data)
            binding = Binding(Uid(said["volume_id"]), str(said["node"]), Uid(said["node_uid"]))
            if name != f"{binding.volume_id}{_SUFFIX}":
                raise ValueError(f"is about {binding.volume_id}")
        except Exception as exc:
            raise VolumeError(
                f"{self._volume.path}/.metrics-storage/{_DIRECTORY}/{name} is unreadable: {exc}. Bring it back from a "
                "copy; no agent is listened to until then"
            ) from exc
        return binding
