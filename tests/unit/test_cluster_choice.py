"""Which cluster a test run takes, and which it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tools.cluster import kind
from tools.cluster.choice import Wish, allowed_contexts, check_context, choose
from tools.cluster.credentials import kubeconfig
from tools.cluster.errors import ClusterError


def no_kind() -> str | None:
    return "there is no kind on PATH"


def with_kind() -> str | None:
    return None


@pytest.mark.parametrize(
    ("wish", "obstacle", "provider"),
    [
        pytest.param(Wish(), no_kind, "local", id="nothing-there"),
        pytest.param(Wish(), with_kind, "kind", id="kind-answers"),
        pytest.param(Wish(kubeconfig=Path("k")), with_kind, "kubeconfig", id="kubeconfig-given"),
        pytest.param(Wish("local"), with_kind, "local", id="local-asked-for"),
        pytest.param(Wish("kind"), with_kind, "kind", id="kind-asked-for"),
        pytest.param(Wish("kubeconfig", Path("k")), no_kind, "kubeconfig", id="kubeconfig-asked-for"),
    ],
)
def test_auto_prefers_a_given_kubeconfig_then_kind_then_local(
    wish: Wish, obstacle: Callable[[], str | None], provider: str
) -> None:
    assert choose(wish, obstacle).provider == provider


def test_the_reason_says_why_kind_was_passed_over() -> None:
    assert choose(Wish(), no_kind).reason == "no kubeconfig was given and there is no kind on PATH"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        pytest.param(Wish("minikube"), "unknown cluster provider 'minikube'", id="unknown-provider"),
        pytest.param(Wish("kubeconfig"), "add --cluster-kubeconfig FILE", id="kubeconfig-not-named"),
        pytest.param(Wish(context="prod"), "add --cluster-kubeconfig FILE", id="context-without-kubeconfig"),
        pytest.param(Wish("local", Path("k")), "takes no --cluster-kubeconfig", id="local-with-kubeconfig"),
        pytest.param(Wish("kind"), "there is no kind on PATH; use --cluster=local", id="kind-absent"),
    ],
)
def test_a_wish_that_cannot_be_met_is_an_error_and_never_another_cluster(wish: Wish, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        choose(wish, no_kind)


def config(name: str, server: str = "https://127.0.0.1:6443") -> dict[str, Any]:
    return kubeconfig(name, server, {}, "token")


@pytest.mark.parametrize("name", ["kind-metrics-storage-test", "kind-mine", "metrics-storage-local"])
def test_contexts_of_kind_and_of_this_project_are_allowed(name: str) -> None:
    assert check_context(config(name), None, ()) == name


def test_an_unknown_context_is_refused_with_the_way_to_allow_it() -> None:
    with pytest.raises(ClusterError, match=r"'prod' is not known to be a test cluster.*--allow-context prod"):
        check_context(config("prod"), None, ())


def test_an_explicitly_allowed_context_is_taken_wherever_its_server_is() -> None:
    assert check_context(config("staging", "https://10.1.2.3"), "staging", ["staging"]) == "staging"


def test_a_context_that_merely_looks_like_kind_is_refused_for_its_server() -> None:
    with pytest.raises(ClusterError, match=r"'https://prod.example', not on this machine"):
        check_context(config("kind-prod", "https://prod.example"), None, ())


def test_a_renamed_context_is_refused_for_its_cluster_and_user() -> None:
    renamed = config("kind-x")
    renamed["contexts"][0]["context"] = {"cluster": "production", "user": "admin"}
    with pytest.raises(ClusterError, match=r"cluster 'production' and user 'admin'"):
        check_context(renamed, None, ())


def test_a_missing_context_is_refused_with_the_ones_that_exist() -> None:
    with pytest.raises(ClusterError, match=r"no context 'other' \(it has: kind-a\)"):
        check_context(config("kind-a"), "other", ())


def test_an_empty_kubeconfig_has_no_context() -> None:
    with pytest.raises(ClusterError, match=r"it has: none"):
        check_context({"contexts": None, "current-context": ""}, None, ())


def test_allowed_contexts_come_from_options_and_from_the_environment() -> None:
    environment = {"METRICS_STORAGE_TEST_ALLOW_CONTEXTS": "b, c,,"}
    assert allowed_contexts(["a"], environment) == ("a", "b", "c")


class FakeKind:
    """A kind and an engine that remember what they were asked."""

    def __init__(self, clusters: str = "", failing: str = "") -> None:
        self.clusters = clusters
        self.failing = failing
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[str], timeout: float) -> CompletedProcess[str]:
        self.calls.append(list(argv))
        failed = bool(self.failing) and self.failing in argv
        output = self.clusters if argv[:3] == ["kind", "get", "clusters"] else ""
        return CompletedProcess(argv, int(failed), output, "it went wrong" if failed else "")

    def verbs(self) -> list[str]:
        return [call[1] for call in self.calls]


def test_kind_is_usable_when_its_engine_answers() -> None:
    assert kind.obstacle(FakeKind(), which=lambda _: "/usr/bin/it") is None


@pytest.mark.parametrize(
    ("present", "failing", "reason"),
    [
        pytest.param("docker", "", "there is no kind on PATH", id="no-kind"),
        pytest.param("kind", "", "there is no container engine (docker) on PATH", id="no-engine"),
        pytest.param(
            "kind docker",
            "info",
            "the container engine does not answer (docker info: it went wrong)",
            id="silent",
        ),
    ],
)
def test_kind_is_passed_over_with_a_reason(
    present: str, failing: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    which = {name: f"/usr/bin/{name}" for name in present.split()}.get
    assert kind.obstacle(FakeKind(failing=failing), which=which) == reason


def test_a_kind_session_creates_its_cluster_and_deletes_it() -> None:
    fake = FakeKind(clusters="another\n")
    with kind.session_cluster("why", fake) as cluster:
        assert (cluster.provider, cluster.context) == ("kind", "kind-metrics-storage-test")
        assert fake.verbs() == ["get", "create"]
    create = fake.calls[1]
    assert create[:4] == ["kind", "create", "cluster", "--name=metrics-storage-test"]
    assert f"--kubeconfig={cluster.kubeconfig}" in create
    assert fake.calls[-1] == ["kind", "delete", "cluster", "--name=metrics-storage-test"]


def test_a_kind_session_deletes_its_cluster_after_a_failed_test() -> None:
    fake = FakeKind()
    with pytest.raises(ZeroDivisionError), kind.session_cluster("why", fake):
        raise ZeroDivisionError
    assert fake.verbs()[-1] == "delete"


def test_a_kind_cluster_that_fails_to_start_is_removed_and_its_error_told() -> None:
    fake = FakeKind(failing="create")
    with pytest.raises(ClusterError, match="it went wrong"), kind.session_cluster("why", fake):
        pass
    assert fake.verbs() == ["get", "create", "delete"]


def test_a_kind_cluster_of_somebody_else_is_neither_used_nor_deleted() -> None:
    fake = FakeKind(clusters="metrics-storage-test\n")
    with pytest.raises(ClusterError, match="exists already"), kind.session_cluster("why", fake):
        pass
    assert fake.verbs() == ["get"]


def test_kind_up_twice_finds_the_cluster_and_writes_its_kubeconfig(tmp_path: Path) -> None:
    fake = FakeKind(clusters="metrics-storage-test\n")
    assert kind.up(tmp_path / "kubeconfig", "why", fake)[1] == "it is already up"
    assert fake.verbs() == ["get", "export"]


def test_kind_down_without_a_cluster_deletes_nothing() -> None:
    fake = FakeKind(clusters="another\n")
    assert kind.down(fake) == "nothing is up"
    assert fake.verbs() == ["get"]
