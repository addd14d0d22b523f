"""Images onto the nodes of any provider."""

from pathlib import Path

from tools.cluster import Cluster, kind
from tools.cluster.local import LocalCluster
from tools.cluster.nodes.images import write_runner


def load_runner(cluster: Cluster, directory: Path) -> None:
    """Put the runners' image onto a kind node; nodes of the local cluster have it."""
    if cluster.provider == "kind":
        archive = directory / "runner.tar"
        write_runner(archive)
        kind.load(archive)


def load(cluster: Cluster, archive: Path) -> None:
    """Put an image, as `docker save` writes it, onto all nodes; those of an existing cluster are left to its owner."""
    if isinstance(cluster, LocalCluster):
        for node in cluster.nodes:
            node.load_image(archive)
    elif cluster.provider == "kind":
        kind.load(archive)
