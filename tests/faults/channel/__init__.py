"""Connections between an agent and its controller that are cut, and messages that come twice, late or out of order."""

import os

# Read by gRPC when it is imported: it tells of every connection that is cut.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
