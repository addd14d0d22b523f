"""Bad input gets a clear error, and nothing is lost."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.cli.main import main
from tools.installation.process import OperatorProcess
from tools.installation.runners import Object, Runners, condition
from tools.waiting import eventually


def test_an_owner_that_nobody_knows_is_invalid_and_touches_nothing(runners: Runners, operator: OperatorProcess) -> None:
    runners.apply("runner-0", spec={"directory": {"owner": "root:nosuch"}})
    storage = runners.wait_condition("runner-0", "Stalled", reason="InvalidSpec")
    assert "root:nosuch" in condition(storage, "Stalled")["message"]
    assert storage["status"]["phase"] == "Failed"
    assert not (operator.storage_root / runners.namespace).exists()
    assert not runners.every("pvc")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"directory": {"mode": "0999"}}, id="mode"),
        pytest.param({"directory": {"owner": "1000"}}, id="owner"),
        pytest.param({"capacity": "much"}, id="capacity"),
        pytest.param({"accessModes": ["Write"]}, id="access mode"),
        pytest.param({"deletionPolicy": "Maybe"}, id="policy"),
    ],
)
def test_the_definition_refuses_what_its_patterns_can(runners: Runners, spec: Object) -> None:
    with pytest.raises(Exception, match=re.escape(f"spec.{next(iter(spec))}")):
        runners.apply("runner-0", spec=spec)


def test_a_change_of_what_is_immutable_is_refused_and_the_storage_stays(runners: Runners) -> None:
    """Servers that know CEL refuse the change itself; on others the controller says InvalidSpec."""
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    (runners.live("runner-0") / "metrics.json").write_text("{}")
    try:
        runners.apply("runner-0", spec={"capacity": "2Gi"})
    except Exception as exc:
        assert "immutable" in str(exc)  # noqa: PT017 - either of two outcomes is right.
        return
    storage = runners.wait_condition("runner-0", "Stalled", reason="InvalidSpec")
    assert "capacity is '1Gi' and cannot become '2Gi'" in condition(storage, "Stalled")["message"]
    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    assert (Path(storage["status"]["path"]) / "metrics.json").exists()
    runners.apply("runner-0", spec={"capacity": "1Gi"})
    runners.wait_ready("runner-0")


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[list[str]]:
    """Flags for two good roots."""
    for name in ("storage", "quarantine"):
        (tmp_path / name).mkdir()
    yield [f"--storage-root={tmp_path}/storage", f"--quarantine-root={tmp_path}/quarantine"]
    subprocess.run(["umount", "-q", tmp_path / "storage"], check=False)


@pytest.fixture
def in_cluster(operator_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the operator, for commands run in this process."""
    monkeypatch.setenv("KUBECONFIG", str(operator_kubeconfig))


@pytest.mark.parametrize("kind", ["missing", "file", "read-only"])
def test_a_bad_storage_root_is_one_line_and_exit_code_2(
    kind: str,
    roots: list[str],
    tmp_path: Path,
    in_cluster: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = tmp_path / "storage"
    if kind == "read-only":
        if os.geteuid() != 0:
            pytest.skip("only root can mount a read-only file system")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", storage], check=True)
    else:
        storage.rmdir()
        if kind == "file":
            storage.touch()
    code = main(["run", *roots, f"--volume-source=hostpath:{storage}", "--health-address=127.0.0.1:0"])
    errors = capsys.readouterr().err.splitlines()
    assert code == 2
    said = {"missing": "No such file", "file": "Not a directory", "read-only": "read-only"}[kind]
    assert errors[-1].startswith(f"metrics-storage: storage volume {storage}")
    assert said in errors[-1]


def test_a_volume_source_that_is_not_there_is_named(
    roots: list[str], in_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", *roots, "--volume-source=claim:default/nothing", "--health-address=127.0.0.1:0"])
    assert code == 2
    assert "there is no such claim" in capsys.readouterr().err.splitlines()[-1]


def test_a_full_quarantine_volume_keeps_the_source_until_there_is_room(
    runners: Runners, operator: OperatorProcess
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    (runners.live("runner-0") / "large").write_bytes(os.urandom(8 << 20))
    operator.stop()
    small = operator.quarantine_root
    aside = small.with_name("aside")
    small.rename(aside)
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=True)
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", small], check=True)
        operator.start()
        runners.quarantine("runner-0")
        storage = runners.wait_condition("runner-0", "Stalled", reason="QuarantineVolumeFull")
        assert "make room" in condition(storage, "Stalled")["message"]
        frozen = operator.storage_root / ".metrics-storage" / "frozen" / storage["metadata"]["uid"]
        assert (frozen / "large").stat().st_size == 8 << 20
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        # The operator looks again some 20 s after it last found no room.
        runners.wait_condition("runner-0", "Quarantined", seconds=60)
        eventually(lambda: not frozen.exists(), seconds=20, what="the source is removed")
        operator.stop()
    finally:
        operator.kill()
        subprocess.run(["umount", small], check=True)
        small.rmdir()
        aside.rename(small)
        operator.start()
