"""Which cluster a test run takes, which it refuses, and how the local programs are found and built."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.cluster import apt, binaries, build, commands, kind, local
from tests.cluster.choice import Wish, allowed_contexts, check_context, choose
from tests.cluster.control_plane import free_ports
from tests.cluster.credentials import Credentials, kubeconfig, write_private
from tests.cluster.errors import ClusterError
from tests.cluster.processes import Identity, Process
from tests.cluster.progress import Progress, last_activity, tail
from tests.cluster.recipe_control_plane import kubernetes_version
from tests.cluster.recipe_crd_server import compiler_packages, library_packages


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


DEB822 = """\
Types: deb
# a note
URIs: mirror:/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb deb-src
URIs: mirror:/security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: mirror:/only-source
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: mirror:/disabled
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb mirror:/commented bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/d.gpg] mirror:/debian bookworm main contrib # note
deb-src mirror:/debian bookworm main
deb mirror:/docker bookworm stable
deb mirror:/node nodistro main
"""


def test_both_formats_of_source_lists_are_read() -> None:
    deb822 = apt.parse_sources(DEB822, deb822=True)
    assert [source.uris for source in deb822] == [("mirror:/debian",), ("mirror:/security",)]
    assert deb822[0].options == (("Signed-By", "/usr/share/keyrings/debian.gpg"),)
    lines = apt.parse_sources(ONE_LINE, deb822=False)
    assert [source.uris for source in lines] == [("mirror:/debian",), ("mirror:/docker",), ("mirror:/node",)]
    assert lines[0].options == (("Signed-By", "/etc/apt/keyrings/d.gpg"),)
    assert lines[0].components == ("main", "contrib")


def test_an_inline_key_keeps_its_continuation_lines() -> None:
    text = "Types: deb\nURIs: mirror:/d\nSuites: s\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n"
    assert apt.parse_sources(text, deb822=True)[0].options == (("Signed-By", "\n -----BEGIN\n .\n abc"),)


def test_only_the_distribution_itself_is_asked_for_sources() -> None:
    parsed = apt.parse_sources(DEB822, deb822=True) + apt.parse_sources(ONE_LINE, deb822=False)
    kept = apt.debian_sources(parsed, "bookworm")
    assert [(source.uris[0], source.suites) for source in kept] == [
        ("mirror:/debian", ("bookworm", "bookworm-updates")),
        ("mirror:/security", ("bookworm-security",)),
        ("mirror:/debian", ("bookworm",)),
    ]


def test_another_suite_takes_the_place_of_all_and_leaves_out_the_security_archive() -> None:
    kept = apt.debian_sources(apt.parse_sources(DEB822, deb822=True), "bookworm")
    assert apt.render(kept, suite="unstable") == (
        "Types: deb\nURIs: mirror:/debian\nSuites: unstable\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian.gpg\n"
    )


def test_source_packages_are_added_to_the_same_sources() -> None:
    kept = apt.debian_sources(apt.parse_sources(DEB822, deb822=True), "bookworm")
    assert apt.render(kept, types="deb deb-src").count("Types: deb deb-src\n") == 2


def test_package_names_are_read_from_the_list_of_downloads() -> None:
    output = (
        "Reading package lists...\n"
        "'mirror:/pool/g/golang-x-dev_0.36.4-1_all.deb' golang-x-dev_0.36.4-1_all.deb 123 SHA256:ab\n"
        "'mirror:/pool/l/libc6_2.43-7_amd64.deb' libc6_2%3a2.43-7_amd64.deb 456 \n"
    )
    assert apt.package_names(output) == ["golang-x-dev", "libc6"]


def test_libraries_and_compiler_are_chosen_from_what_apt_resolved() -> None:
    closure = ["libc6", "golang-k8s-apiextensions-apiserver-dev", "golang-1.27-src", "golang-1.27-go", "golang-go"]
    assert library_packages(closure) == ["golang-k8s-apiextensions-apiserver-dev"]
    assert compiler_packages(closure) == ["golang-1.27-go", "golang-1.27-src"]


def test_a_closure_without_what_is_needed_is_an_error() -> None:
    with pytest.raises(ClusterError, match="golang-k8s-apiextensions-apiserver-dev is not among them"):
        library_packages(["libc6"])
    with pytest.raises(ClusterError, match="expected one versioned Go compiler"):
        compiler_packages(["golang-1.27-go"])


@pytest.mark.parametrize(
    ("folder", "version"),
    [("kubernetes-1.20.5+really1.20.2", "1.20.2"), ("kubernetes-1.32.3", "1.32.3")],
)
def test_the_version_is_the_one_that_debian_really_ships(folder: str, version: str) -> None:
    assert kubernetes_version(folder) == version


def test_a_heartbeat_shows_the_package_being_compiled() -> None:
    output = "make\n\x1b[32mk8s.io/kubernetes/vendor/k8s.io/api/core/v1\x1b[0m\n\n"
    assert last_activity(output) == "k8s.io/api/core/v1"
    assert last_activity("\n") == "(no output yet)"
    assert last_activity("x" * 200) == "x" * 89 + "…"


def test_progress_counts_steps_and_repeats_the_newest_line_of_a_slow_command(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress("job", 2, out=out, heartbeat=0.05)
    progress.step("first")
    # It ends once it has seen its own heartbeat reported; no sleep decides about the outcome.
    flag = tmp_path / "seen"
    script = (
        f"import os, time\nprint('compiling x', flush=True)\nwhile not os.path.exists({str(flag)!r}): time.sleep(.01)"
    )

    class Seen(io.StringIO):
        def write(self, text: str) -> int:
            if "compiling x" in text:
                flag.touch()
            return out.write(text)

    progress = Progress("job", 2, out=Seen(), heartbeat=0.05)
    progress.run([sys.executable, "-c", script], log=tmp_path / "log")
    assert "step 1/2: first" in out.getvalue()
    assert "… compiling x" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    progress = Progress("job", 1, out=io.StringIO())
    with pytest.raises(ClusterError, match=r"(?s)failed with status 3.*the reason"):
        progress.run([sys.executable, "-c", "import sys; print('the reason'); sys.exit(3)"], log=tmp_path / "log")


def test_a_command_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no program 'no-such-program'"):
        Progress("job", 1, out=io.StringIO()).run(["no-such-program"], log=tmp_path / "log")


def test_the_end_of_a_log_begins_with_the_error_that_pages_of_usage_follow(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("I starting\nError: unknown flag: --x\nUsage:\n" + "  --flag\n" * 50)
    assert tail(log, 2) == "Error: unknown flag: --x\n…\n  --flag\n  --flag"
    assert tail(log, 100).startswith("I starting\nError:")


def test_the_end_of_an_absent_log_is_a_note(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log") == f"(no log at {tmp_path / 'none.log'})"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "metrics-storage"


def recipe(monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, Path, Progress, Path], str]) -> None:
    monkeypatch.setitem(build.RECIPES, "thing", build.Recipe("thing-r1", 1, ("program",), make))


def make_program(work: Path, out: Path, progress: Progress, log: Path) -> str:
    (out / "program").write_text("")
    (out / "program").chmod(0o755)
    return "1.2.3"


def test_a_build_is_cached_by_version_and_taken_from_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(monkeypatch, make_program)
    first = build.ensure("thing", out=Progress("thing", 1, out=io.StringIO()))
    assert first == cache / f"thing-r1-1.2.3-{os.uname().machine}"
    recipe(monkeypatch, lambda *_: pytest.fail("built again"))
    assert build.ensure("thing") == first


def test_an_unfinished_build_is_never_taken_for_a_finished_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(work: Path, out: Path, progress: Progress, log: Path) -> str:
        make_program(work, out, progress, log)
        raise KeyboardInterrupt

    recipe(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.ensure("thing", out=Progress("thing", 1, out=io.StringIO()))
    assert binaries.cached("thing-r1") is None
    (cache / "building-thing-r1" / "out").mkdir(parents=True)  # as after SIGKILL
    assert binaries.cached("thing-r1") is None
    recipe(monkeypatch, make_program)
    assert build.ensure("thing", out=Progress("thing", 1, out=io.StringIO())) == binaries.cached("thing-r1")


def test_a_second_builder_waits_for_the_first_and_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(monkeypatch, make_program)
    cache.mkdir()
    first = (cache / "build.lock").open("w")
    first.write("4711")
    first.flush()
    fcntl.flock(first, fcntl.LOCK_EX)
    told = []

    class Told(io.StringIO):
        def write(self, text: str) -> int:
            told.append(text)
            if "waiting" in text:
                first.close()
            return len(text)

    build.ensure("thing", out=Progress("thing", 1, out=Told()))
    assert "waiting for another build (process 4711)" in told[0]


def test_a_build_that_lacks_a_program_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(monkeypatch, lambda *_: "1.0.0")
    with pytest.raises(ClusterError, match="the build made no program"):
        build.ensure("thing", out=Progress("thing", 1, out=io.StringIO()))
    assert binaries.cached("thing-r1") is None


def test_assets_without_a_controller_manager_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch(mode=0o755)
    with pytest.raises(ClusterError, match=r"has no kube-controller-manager \(envtest's own"):
        binaries.find_binaries()


def test_the_version_of_the_api_server_is_read() -> None:
    assert binaries.parse_version("Kubernetes v1.20.2\n") == (1, 20)
    with pytest.raises(ClusterError, match=r"expected something like v1\.20\.2"):
        binaries.parse_version("something else")


CREDENTIALS = Credentials(Path("/c"), "a", "b")


@pytest.mark.parametrize(("version", "has_port"), [((1, 20), True), ((1, 36), False)], ids=["1.20", "1.36"])
def test_the_insecure_port_is_closed_where_it_still_exists(version: tuple[int, int], has_port: bool) -> None:
    argv = commands.controller_manager(
        Path("kcm"), CREDENTIALS, commands.Ports(1, 2, 3), Path("k"), version=version, extra={}
    )
    assert ("--port=0" in argv) is has_port


def test_a_given_flag_replaces_the_default_of_its_name() -> None:
    extra = {"leader-elect": "true", "pvclaimbinder-sync-period": "1s"}
    argv = commands.controller_manager(
        Path("kcm"), CREDENTIALS, commands.Ports(1, 2, 3), Path("k"), version=(1, 20), extra=extra
    )
    assert [flag for flag in argv if "leader-elect" in flag] == ["--leader-elect=true"]
    assert argv[-2:] == ["--port=0", "--pvclaimbinder-sync-period=1s"]


def test_free_ports_differ_and_lie_below_the_ephemeral_range() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20000 <= port < 32000 for port in ports)


def test_a_kubeconfig_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_private(path, config("kind-a"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["current-context"] == "kind-a"


def test_a_process_is_recognised_by_its_start_time_and_not_by_its_pid_alone() -> None:
    me = Identity.of(os.getpid())
    assert me.alive()
    assert not Identity(me.boot, me.pid, me.started + 1).alive()
    assert not Identity("another boot", me.pid, me.started).alive()
    assert not Identity(me.boot, me.pid, me.started + 1).send(0)


def test_a_process_is_found_by_its_pid_file_and_ended(tmp_path: Path) -> None:
    started = Process.spawn("sleeper", ["sleep", "600"], tmp_path, "session")
    found = Process.find("sleeper", tmp_path)
    assert found is not None
    assert found.identity == started.identity
    started.stop(kill=True)
    assert not found.alive()
    assert Process.find("sleeper", tmp_path) is None


def test_a_session_process_dies_with_a_killed_owner(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal\n"
        "from tests.cluster.processes import Process\n"
        f"Process.spawn('sleeper', ['sleep', '600'], pathlib.Path({str(tmp_path)!r}), 'session')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=False, timeout=60)
    orphan = Process.find("sleeper", tmp_path)
    assert orphan is not None
    assert orphan.identity.wait_gone(10)


def test_a_directory_that_is_not_a_cluster_is_never_cleaned(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    for command in (local.down, lambda state: local.up(state, "why")):
        with pytest.raises(ClusterError, match="it is not a cluster's state and stays as it is"):
            command(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_down_removes_what_a_crash_left_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "cluster.json").write_text("{")
    (state / "etcd.pid").write_text(json.dumps({"boot": "an earlier one", "pid": 1, "started": 0}))
    assert local.status(state)[0] is False
    assert local.down(state) == "nothing ran any more, removed what was left"
    assert not state.exists()
    assert local.down(state) == "nothing is up"
