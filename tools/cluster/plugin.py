"""The pytest plugin: options, and the session fixtures `cluster` and `crd_server`.

Importing it is cheap; a cluster is built and started only when a test asks for a fixture. Not responsible
for what tests do with it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.cluster.choice import ALLOW_VARIABLE, PROVIDERS, Choice, Wish, choose
from tools.cluster.errors import ClusterError

if TYPE_CHECKING:
    from tools.cluster.crd_server import CrdServer
    from tools.cluster.handle import Cluster

_CHOICE = pytest.StashKey[Choice]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster", "Kubernetes cluster of the tests")
    group.addoption(
        "--cluster",
        choices=PROVIDERS,
        default="auto",
        help="where the Kubernetes API comes from; auto: --cluster-kubeconfig if given, else kind if it "
        "answers, else local processes (default: auto)",
    )
    group.addoption("--cluster-kubeconfig", type=Path, metavar="FILE", help="kubeconfig of an existing test cluster")
    group.addoption("--cluster-context", metavar="NAME", help="context in it (default: its current one)")
    group.addoption(
        "--allow-context",
        action="append",
        default=[],
        metavar="NAME",
        help="let tests use this context although nothing shows that it is a test cluster; repeatable, also "
        f"by {ALLOW_VARIABLE}, separated by commas",
    )


def pytest_report_header(config: pytest.Config) -> str:
    try:
        choice = choice_of(config)
    except ClusterError as exc:
        return f"cluster: {exc}"
    return f"cluster: {choice.provider} ({choice.reason})"


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A Kubernetes API of the chosen provider, started now and ended after the last test."""
    # Only now: these imports are needed by tests with a cluster alone.
    from tools.cluster.session import open_cluster

    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        with starting(request.config):
            choice = choice_of(request.config)
            handle = stack.enter_context(open_cluster(wish_of(request.config), choice))
        tell(
            request.config,
            f"cluster: {handle.provider} ({handle.reason}), up after {time.monotonic() - started:.1f} s",
        )
        yield handle


@pytest.fixture(scope="session")
def crd_server(request: pytest.FixtureRequest) -> Iterator[CrdServer]:
    """A current server of custom resources, beside the session's cluster or, if not local, one of its own."""
    from tools.cluster.crd_server import running_crd_server
    from tools.cluster.local import LocalCluster, session_cluster

    with starting(request.config):
        local = choice_of(request.config).provider == "local"
    shared = request.getfixturevalue("cluster") if local else None
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        with starting(request.config):
            if not isinstance(shared, LocalCluster):
                shared = stack.enter_context(session_cluster("only it can carry the crd server"))
            server = stack.enter_context(running_crd_server(shared.plane))
        tell(request.config, f"crd server: {server.version}, up after {time.monotonic() - started:.1f} s")
        yield server


def wish_of(config: pytest.Config) -> Wish:
    return Wish(
        provider=config.getoption("cluster"),
        kubeconfig=config.getoption("cluster_kubeconfig"),
        context=config.getoption("cluster_context"),
        allow=tuple(config.getoption("allow_context")),
    )


def choice_of(config: pytest.Config) -> Choice:
    from tools.cluster.kind import obstacle

    # Once per session: asking a container engine takes time, and all must get the same answer.
    if _CHOICE not in config.stash:
        config.stash[_CHOICE] = choose(wish_of(config), obstacle)
    return config.stash[_CHOICE]


@contextlib.contextmanager
def starting(config: pytest.Config) -> Iterator[None]:
    """Visible progress, and errors without a traceback: their text says what to do."""
    problem = ""
    try:
        with _speaking(config):
            yield
    except ClusterError as exc:
        problem = str(exc)
    # Not within the handler, where pytest would show both, one caused by the other.
    if problem:
        pytest.fail(problem, pytrace=False)


@contextlib.contextmanager
def _speaking(config: pytest.Config) -> Iterator[None]:
    """Let a build that takes minutes show its progress: pytest would capture and hide it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
        yield


def tell(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        with _speaking(config):
            reporter.ensure_newline()
            reporter.write_line(line)
