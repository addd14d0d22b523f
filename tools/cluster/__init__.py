"""A real Kubernetes API for tests, demos and developers; see README.md beside this file.

Re-exports what tests use. Not responsible for anything itself.
"""

from tools.cluster.control_plane import Flags
from tools.cluster.errors import ClusterError
from tools.cluster.handle import Cluster
from tools.cluster.local import LocalCluster, session_cluster

__all__ = ["Cluster", "ClusterError", "Flags", "LocalCluster", "session_cluster"]
