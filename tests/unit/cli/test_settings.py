"""Every wrong or missing setting is one clear line and exit code 2."""

from pathlib import Path

import pytest

from metrics_storage.cli.main import main
from metrics_storage.controller.settings import Settings
from metrics_storage.engine.volume.bindings import Bindings
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.logs import LogFormat
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid
from tests.unit.cli.parsing import settings_of

NEEDED = ["run", "--storage-root=/s", "--quarantine-root=/q", "--volume-source=hostpath:/s"]


def settings(*arguments: str) -> Settings:
    return settings_of([*NEEDED[1:], *arguments])


def test_defaults_are_what_the_help_says() -> None:
    found = settings()
    assert found.storage_root == Path("/s")
    assert (found.workers, found.archive_workers, found.sweep_interval) == (8, 1, 60.0)
    assert found.health_address == ("0.0.0.0", 8080)
    assert found.namespaces == ()
    assert found.log_format is LogFormat.PLAIN


def test_flags_come_from_the_environment_too_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_STORAGE_WORKERS", "3")
    monkeypatch.setenv("METRICS_STORAGE_NAMESPACE", "a, b")
    monkeypatch.setenv("METRICS_STORAGE_LOG_FORMAT", "json")
    found = settings("--workers=5")
    assert found.workers == 5
    assert found.namespaces == ("a", "b")
    assert found.log_format is LogFormat.JSON


def test_a_namespace_can_be_given_again_and_again() -> None:
    assert settings("--namespace=a", "--namespace=b").namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        pytest.param("--workers=0", "--workers '0' must be 1 or more", id="no workers"),
        pytest.param("--workers=many", "--workers 'many' is not a number", id="workers in words"),
        pytest.param("--sweep-interval=inf", "--sweep-interval 'inf' must be 1 or more", id="endless interval"),
        pytest.param("--sweep-interval=nan", "--sweep-interval 'nan' must be 1 or more", id="no interval"),
        pytest.param("--health-address=8080", "--health-address '8080' is not HOST:PORT", id="no host"),
        pytest.param("--health-address=h:99999", "is not HOST:PORT", id="port too large"),
        pytest.param("--log-format=xml", "--log-format 'xml' must be one of plain, json", id="log format"),
        pytest.param("--storage-root=relative", "'relative' is not an absolute path", id="relative root"),
        pytest.param("--volume-source=s3:x", "volume source 's3:x' is not claim:", id="volume source"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    argument: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*NEEDED, argument]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_each_missing_setting_has_a_line_of_its_own_that_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "metrics-storage: --storage-root or METRICS_STORAGE_STORAGE_ROOT is missing",
        "metrics-storage: --quarantine-root or METRICS_STORAGE_QUARANTINE_ROOT is missing",
        "metrics-storage: --volume-source or METRICS_STORAGE_VOLUME_SOURCE is missing",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", ["accept-loss", "release"])
def test_accepting_a_loss_wants_a_uid(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "../etc", "--storage-root=/tmp"]) == 2
    assert "'../etc' is not the metadata.uid" in capsys.readouterr().err


def test_a_loss_on_a_node_is_written_on_the_quarantine_volume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uid, volume_id = Uid.new(), Uid.new()
    flag = f"--quarantine-root={tmp_path}"
    with Volume(tmp_path, Role.QUARANTINE, initialise=True) as quarantine:
        releases = Releases(quarantine)
        assert main(["accept-loss", uid, flag]) == 0
        assert releases.has_any([uid])
        assert main(["release", "--volume", volume_id, flag, "--yes"]) == 2
        assert "no agent was ever seen with storage volume" in capsys.readouterr().err
        Bindings(quarantine).record(Binding(volume_id, "node-7", Uid.new()))
        assert main(["release", "--volume", volume_id, flag]) == 0
        assert f"lost would be all that is on storage volume {volume_id} of node node-7" in capsys.readouterr().out
        assert not releases.has_any([volume_id])
        assert main(["release", "--volume", volume_id, flag, "--yes"]) == 0
        assert releases.has_any([volume_id])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either a UID or --volume ID is needed"),
        ([str(Uid.new()), "--volume", str(Uid.new())], "either a UID or --volume ID is needed"),
        ([str(Uid.new())], "--storage-root is needed, or with agents --quarantine-root"),
        (["--volume", "../etc"], "'../etc' is not the id of a storage volume"),
    ],
)
def test_what_is_lost_has_to_be_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept-loss", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_empty_directory_becomes_a_volume_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-volume", "quarantine", str(tmp_path)]) == 0
    assert "is quarantine volume" in capsys.readouterr().out
    assert main(["init-volume", "storage", str(tmp_path)]) == 2
    assert "is a quarantine volume" in capsys.readouterr().err
