"""Where volumes point: from `--volume-source` to the source and node affinity of every PersistentVolume."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metrics_storage.errors import VolumeSourceError

HOSTNAME_LABEL: Final = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True)
class ClaimSource:
    """Derive from the volume behind the operator's own storage claim."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class VolumeTemplate:
    """A volume source for the storage volume as a whole, and the nodes that reach it.

    `kind` is `local`, `hostPath` or `nfs`; `root` the absolute directory in that source; `server` only for nfs.
    """

    kind: str
    root: str
    server: str | None = None
    node_affinity: Mapping[str, Any] | None = None

    def path(self, relative: str) -> str:
        """Absolute path of a directory of the storage volume, as the source names it."""
        return f"{self.root.rstrip('/')}/{relative}"

    def locate(self, relative: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Volume source and node affinity for one directory of the storage volume."""
        source: dict[str, Any] = {"path": self.path(relative)}
        if self.kind == "hostPath":
            source["type"] = "Directory"
        elif self.kind == "nfs":
            source["server"] = self.server
        return {self.kind: source}, copy.deepcopy(dict(self.node_affinity)) if self.node_affinity else None

    @property
    def node_name(self) -> str | None:
        """The one node that reaches the volume, None where several do or any does."""
        terms = (self.node_affinity or {}).get("required", {}).get("nodeSelectorTerms", ())
        names = {
            value
            for term in terms
            for expression in term.get("matchExpressions", ())
            if expression.get("key") == HOSTNAME_LABEL and expression.get("operator") == "In"
            for value in expression.get("values", ())
        }
        return names.pop() if len(names) == 1 else None


def parse_volume_source(text: str, node_name: str | None) -> ClaimSource | VolumeTemplate:
    """Read `claim:<namespace>/<name>`, `hostpath:<dir>` or `nfs:<server>:<dir>`.

    Args:
        text: the flag's value.
        node_name: the node that a host path is on; None means that every node has the same one.

    Raises:
        VolumeSourceError: none of the three.
    """
    kind, _, rest = text.partition(":")
    if kind == "claim" and rest.count("/") == 1 and all(rest.split("/")):
        return ClaimSource(*rest.split("/"))
    if kind == "hostpath" and _is_directory(rest):
        if node_name is None:
            return VolumeTemplate("hostPath", rest)
        return on_host(rest, node_name)
    server, _, directory = rest.partition(":")
    if kind == "nfs" and server and _is_directory(directory):
        return VolumeTemplate("nfs", directory, server=server)
    raise VolumeSourceError(
        f"volume source {text!r} is not claim:<namespace>/<name>, hostpath:<absolute dir> "
        "or nfs:<server>:<absolute dir>"
    )


def on_host(directory: str, host: str) -> VolumeTemplate:
    """A directory of one node, which has this host name as its label."""
    return VolumeTemplate("local", directory, node_affinity=_on_node(host))


def derive_template(source: ClaimSource, volume: Mapping[str, Any]) -> VolumeTemplate:
    """Derive a template from the PersistentVolume behind the operator's storage claim.

    Raises:
        VolumeSourceError: the volume is of a kind whose directories cannot be volumes of their own.
    """
    spec = volume["spec"]
    affinity = spec.get("nodeAffinity")
    if path := (spec.get("local") or spec.get("hostPath") or {}).get("path"):
        return VolumeTemplate("local" if affinity else "hostPath", path, node_affinity=affinity)
    if nfs := spec.get("nfs"):
        return VolumeTemplate("nfs", nfs["path"], server=nfs["server"], node_affinity=affinity)
    known = "local, hostPath or nfs"
    kinds = [key for key, value in spec.items() if isinstance(value, Mapping) and key not in _NOT_SOURCES]
    raise VolumeSourceError(
        f"claim {source.namespace}/{source.name} is backed by volume {volume['metadata']['name']} of type "
        f"{', '.join(kinds) or 'unknown'}; directories of it can be mounted only where it is {known}. Use a "
        "storage class that makes such volumes, or --volume-source=hostpath:… or nfs:…"
    )


_NOT_SOURCES: Final = {"capacity", "claimRef", "nodeAffinity"}


def _is_directory(path: str) -> bool:
    return path.startswith("/") and path != "/" and ".." not in path.split("/")


def _on_node(name: str) -> dict[str, Any]:
    expression = {"key": HOSTNAME_LABEL, "operator": "In", "values": [name]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
