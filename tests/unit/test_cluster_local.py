"""How a local cluster is started, recognised again and cleaned up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cluster import binaries, commands, detached
from tools.cluster.control_plane import free_ports
from tools.cluster.credentials import Credentials, kubeconfig, write_private
from tools.cluster.errors import ClusterError
from tools.cluster.processes import Identity, Process


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
        Path("kcm"), CREDENTIALS, commands.Ports("127.0.0.1", 1, 2, 3, 4), Path("k"), version=version, extra={}
    )
    assert ("--port=0" in argv) is has_port


def test_a_given_flag_replaces_the_default_of_its_name() -> None:
    extra = {"leader-elect": "true", "pvclaimbinder-sync-period": "1s"}
    argv = commands.controller_manager(
        Path("kcm"), CREDENTIALS, commands.Ports("127.0.0.1", 1, 2, 3, 4), Path("k"), version=(1, 20), extra=extra
    )
    assert [flag for flag in argv if "leader-elect" in flag] == ["--leader-elect=true"]
    assert argv[-2:] == ["--port=0", "--pvclaimbinder-sync-period=1s"]


def test_free_ports_differ_and_lie_below_the_ephemeral_range() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20000 <= port < 32000 for port in ports)


def test_a_kubeconfig_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_private(path, kubeconfig("kind-a", "https://127.0.0.1:1", {}, "token"))
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
        "from tools.cluster.processes import Process\n"
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
    for command in (detached.down, lambda state: detached.up(state, "why")):
        with pytest.raises(ClusterError, match="it is not a cluster's state and stays as it is"):
            command(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_down_removes_what_a_crash_left_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "cluster.json").write_text("{")
    (state / "etcd.pid").write_text(json.dumps({"boot": "an earlier one", "pid": 1, "started": 0}))
    assert detached.status(state)[0] is False
    assert detached.down(state) == "nothing ran any more, removed what was left"
    assert not state.exists()
    assert detached.down(state) == "nothing is up"
