"""How the programs of local clusters are found in Debian, built, reported and cached."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.cluster import apt, binaries, build
from tools.cluster.errors import ClusterError
from tools.cluster.progress import StepLog, last_activity, tail
from tools.cluster.recipe_control_plane import kubernetes_version
from tools.cluster.recipe_crd_server import compiler_packages, library_packages
from tools.cluster.recipe_policy_evaluator import SOURCE

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
    progress = StepLog("job", 2, out=out, heartbeat=0.05)
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

    progress = StepLog("job", 2, out=Seen(), heartbeat=0.05)
    progress.run([sys.executable, "-c", script], log=tmp_path / "log")
    assert "step 1/2: first" in out.getvalue()
    assert "… compiling x" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    progress = StepLog("job", 1, out=io.StringIO())
    with pytest.raises(ClusterError, match=r"(?s)failed with status 3.*the reason"):
        progress.run([sys.executable, "-c", "import sys; print('the reason'); sys.exit(3)"], log=tmp_path / "log")


def test_a_command_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no program 'no-such-program'"):
        StepLog("job", 1, out=io.StringIO()).run(["no-such-program"], log=tmp_path / "log")


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


def recipe(monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, Path, StepLog, Path], str]) -> None:
    monkeypatch.setitem(build.RECIPES, "thing", build.Recipe("thing-r1", 1, ("program",), make))


def make_program(work: Path, out: Path, progress: StepLog, log: Path) -> str:
    (out / "program").write_text("")
    (out / "program").chmod(0o755)
    return "1.2.3"


def test_a_build_is_cached_by_version_and_taken_from_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(monkeypatch, make_program)
    first = build.ensure("thing", out=StepLog("thing", 1, out=io.StringIO()))
    assert first == cache / f"thing-r1-1.2.3-{os.uname().machine}"
    recipe(monkeypatch, lambda *_: pytest.fail("built again"))
    assert build.ensure("thing") == first


def test_an_unfinished_build_is_never_taken_for_a_finished_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(work: Path, out: Path, progress: StepLog, log: Path) -> str:
        make_program(work, out, progress, log)
        raise KeyboardInterrupt

    recipe(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.ensure("thing", out=StepLog("thing", 1, out=io.StringIO()))
    assert binaries.cached("thing-r1") is None
    (cache / "building-thing-r1" / "out").mkdir(parents=True)  # as after SIGKILL
    assert binaries.cached("thing-r1") is None
    recipe(monkeypatch, make_program)
    assert build.ensure("thing", out=StepLog("thing", 1, out=io.StringIO())) == binaries.cached("thing-r1")


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

    build.ensure("thing", out=StepLog("thing", 1, out=Told()))
    assert "waiting for another build (process 4711)" in told[0]


def test_a_build_that_lacks_a_program_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(monkeypatch, lambda *_: "1.0.0")
    with pytest.raises(ClusterError, match="the build made no program"):
        build.ensure("thing", out=StepLog("thing", 1, out=io.StringIO()))
    assert binaries.cached("thing-r1") is None


def test_the_source_of_our_own_program_is_where_its_recipe_looks() -> None:
    assert SOURCE.read_text().splitlines().count("package main") == 1
