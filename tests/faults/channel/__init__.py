"""Connections between an agent and its controller that are cut, messages that come twice, late or out of order, and the
end of either side at any of them."""

import os

# Read by gRPC when it is imported: it tells of every connection that is cut.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
