"""A real Kubernetes API for tests, demos and developers; see README.md beside this file.

Re-exports what tests use. Not responsible for anything itself.
"""

from tests.cluster.control_plane import Flags
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.local import LocalCluster, session_cluster

__all__ = ["Cluster", "ClusterError", "Flags", "LocalCluster", "session_cluster"]
