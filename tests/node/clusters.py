"""Clusters with nodes, and the images on them."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.node.images import load, load_runner
from tests.node.rights import AuditLog, write_policy
from tools.cluster import Cluster
from tools.cluster.control_plane import Flags
from tools.cluster.plugin import choice_of, starting, tell, wish_of
from tools.cluster.session import open_cluster
from tools.image import BuiltImage
from tools.installation.deployment import AGENT_USER, USER


@contextlib.contextmanager
def opened(config: pytest.Config, image: BuiltImage, audit_log: AuditLog, *, nodes: int) -> Iterator[Cluster]:
    """A cluster with so many nodes and the image on them, whose API server writes down who asked for what."""
    policy = audit_log.path.with_name("policy.json")
    write_policy(policy, USER, AGENT_USER)
    flags = Flags(apiserver={"audit-policy-file": str(policy), "audit-log-path": str(audit_log.path)})
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        with starting(config):
            handle = stack.enter_context(open_cluster(wish_of(config), choice_of(config), flags, nodes=nodes))
            load(handle, image.archive)
            load_runner(handle, audit_log.path.parent)
        tell(config, f"cluster with nodes ({nodes}): {handle.provider}, up after {time.monotonic() - started:.1f} s")
        yield handle
