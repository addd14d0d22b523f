"""A real API server does what the operator relies on, and what the fake of the unit tests imitates."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from metrics_storage.kube.api import Api
from tests.contract.server import Connect, Server, ServerContract
from tools.cluster import Cluster


class TestServer(ServerContract):
    @pytest.fixture
    def connect(self, cluster: Cluster, operator_kubeconfig: Path) -> Connect:
        @asynccontextmanager
        async def connect() -> AsyncIterator[Server]:
            async with await Api.connect(cluster.kubeconfig, cluster.context) as api:
                yield api

        return connect
