"""A cluster with a node, the shipped image on it, and the operator as `kubectl apply -k` installs it."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.clusters import opened
from tests.node.rights import AuditLog
from tools.cluster import Cluster
from tools.cluster.nodes.commands import obstacle
from tools.cluster.plugin import choice_of, starting, tell
from tools.image import BuiltImage, ensure_image
from tools.installation.deployment import Operator
from tools.installation.runners import Runners
from tools.waiting import eventually

_ORDER = (
    "test_cable",
    "test_end",
    "test_install",
    "test_runner",
    "test_many",
    "test_namespaces",
    "test_upgrade",
    "test_reboot",
    "test_volumes",
    "test_rights",
    "test_agents",
)
"""Modules by the cost of what they change; those on other overlays, which install anew, come last."""

_OURS = ("busybox", "cc", "containerd", "containerd-shim-runc-v2", "ctr", "kubectl", "runc")
"""Programs that the tests bring with them."""

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the modules of this folder, so that the operator is installed as seldom as possible."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    places = {name: place for place, name in enumerate(_ORDER)}
    here.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for index, item in zip([index for index, item in enumerate(items) if item in set(here)], here, strict=True):
        items[index] = item


@pytest.fixture(scope="session", autouse=True)
def _useless_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put programs that fail before all others: what a machine has under our programs' names decides nothing."""
    directory = tmp_path_factory.mktemp("useless")
    for name in _OURS:
        (directory / name).write_text(f"#!/bin/sh\necho '{name} was looked up on PATH' >&2\nexit 97\n")
        (directory / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session", autouse=True)
def _runs_pods(request: pytest.FixtureRequest) -> None:
    """Before anything is built: can there be nodes at all?"""
    with starting(request.config):
        provider = choice_of(request.config).provider
    if provider == "local" and (problem := obstacle()):
        pytest.skip(f"no Pods run here: {problem}")


@pytest.fixture(scope="session")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> AuditLog:
    """Where the API server of a local cluster writes down who asked for what."""
    return AuditLog(tmp_path_factory.mktemp("audit") / "audit.log")


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> BuiltImage:
    """The image of this source tree, built now unless it is in the cache."""
    with starting(request.config):
        image = ensure_image()
    tell(request.config, f"image: {image.tag}, {image.contents.size / 1e6:.0f} MB")
    return image


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, image: BuiltImage, audit_log: AuditLog) -> Iterator[Cluster]:
    """A cluster with one node and the image on it."""
    with opened(request.config, image, audit_log, nodes=1) as handle:
        yield handle


@pytest.fixture(scope="session")
def site(cluster: Cluster) -> Operator:
    """The operator of the cluster, whatever it is installed from, if it is."""
    return Operator(cluster)


@pytest.fixture
def operator(site: Operator) -> Operator:
    """The operator as manifests/base installs it, ready."""
    site.install("base")
    return site


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: Cluster, operator: Operator) -> Iterator[str]:
    """A fresh namespace for runners, which enforces `restricted`; left without MetricsStorages."""
    name = f"runners-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    if not operator.installed:
        return  # The test took it away, and cleaned up by itself or failed.
    runners = Runners(cluster, name)
    cluster.kubectl("-n", name, "delete", "pods", "--all", "--wait=false", "--grace-period=1")
    cluster.kubectl("-n", name, "delete", "mstor", "--all", "--wait=false")
    eventually(lambda: not runners.every("mstor"), seconds=90, what=f"{name} is left empty")
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def runners(cluster: Cluster, namespace: str) -> Runners:
    """The MetricsStorages of a fresh namespace."""
    return Runners(cluster, namespace)
