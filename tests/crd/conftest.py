"""The definition of this repository, installed once on the server of custom resources."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crd.collection import Collection, Server


@pytest.fixture(scope="session")
def collection(crd_server: Server) -> Collection:
    """MetricsStorages on a server that has the definition of this repository."""
    path = Path(__file__).parents[2] / "crds" / "metricsstorage.yaml"
    definition: dict[str, Any] = yaml.safe_load(path.read_text())
    crd_server.install(definition)
    return Collection(crd_server)
