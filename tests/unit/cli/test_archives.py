"""What somebody sees who looks at, verifies, restores and prunes archives at a terminal or in a script."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from metrics_storage.cli.archives.checksums import checksum_lines
from metrics_storage.cli.main import main
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.restore import restoration
from metrics_storage.errors import ArchiveError
from metrics_storage.model.identity import Identity
from tests.unit.cli.archive_commands import OTHER, Output, run
from tests.unit.cli.hostile_archive import hostile
from tests.unit.engine.archive_site import UIDS, Site, flip, opened_site
from tests.unit.engine.archiving import Archiving


def test_list_shows_what_there_is_and_what_is_amiss(site: Site, capsys: Output) -> None:
    site.archive(provisional=True)
    site.file(site.archive(OTHER)).unlink()
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "NAMESPACE", "NAME", "CREATED", "SIZE", "FILES", "STATE", "REASON"]
    assert [line.split("  ")[0] for line in lines[1:]] == [f"{UIDS[0]}_1", f"{UIDS[0]}_2", f"{UIDS[1]}_1"]
    assert "not clean" in lines[1]
    assert lines[2].split()[-3:] == ["clean", "not", "JSON"]
    assert "no archive" in lines[3]


def test_list_as_json_is_an_object_a_line_and_filters_hold(site: Site, capsys: Output) -> None:
    stored = site.archive()
    site.archive(OTHER)
    assert run("list", "--namespace=runners", "--name=runner-0", "--output=json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["archive"], found["clean"], found["files"], found["state"]) == (stored.path, True, 1, "clean")
    assert found["sha256"] == site.store.verify(stored).archive_sha256


def test_show_escapes_what_could_control_a_terminal(site: Site, capsys: Output) -> None:
    hostile(site)
    assert run("show", "runners/runner-0") == 0
    out = capsys.readouterr().out
    assert r"runner-0/\x1b]0;pwned\x07\n" in out
    assert r"-> /etc/\x1b[2J" in out
    assert "-rwsr-xr-x" in out
    assert not set(out) & set("\x1b\x07")
    assert run("show", "runners/runner-0", "--output=json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["record"] for line in lines] == ["header", *["entry"] * 4, "trailer"]


@pytest.mark.parametrize(
    "reference",
    ["runners/runner-0", "runner-0", UIDS[0], UIDS[0][:8] + "_1", "path", "manifest", "absolute"],
)
def test_an_archive_can_be_named_in_many_ways(site: Site, reference: str, capsys: Output) -> None:
    stored = site.archive()
    names = {"path": stored.path, "manifest": f"runners/{stored.stem}.manifest.jsonl", "absolute": site.file(stored)}
    assert run("verify", names.get(reference, reference)) == 0
    assert capsys.readouterr().out.startswith(f"ok       {stored.path}: 1 file, 7 B")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["verify"], "name archives to verify, or give --all", id="nothing to verify"),
        pytest.param(["verify", "x", "--all"], "name archives to verify, or give --all", id="both"),
        pytest.param(
            ["verify", "--all", f"--sha256={'0' * 64}"], "--sha256 is the digest of one archive", id="digest of all"
        ),
        pytest.param(["verify", "x", "--sha256=00"], "--sha256 '00' is not a SHA-256: 64 hexadecimal", id="digest"),
        pytest.param(["show", "nosuch"], "no archive 'nosuch' on", id="unknown"),
        pytest.param(["show", "runner-0"], "may mean 2 archives, name one: runners/runner-0_", id="ambiguous"),
        pytest.param(["prune", "--yes"], "say which archives to prune", id="prune without condition"),
        pytest.param(["prune", "--older-than=30d"], "nobody can be asked without a terminal", id="nobody to ask"),
        pytest.param(["prune", "--older-than=30", "--yes"], "'30' is not a number with a unit", id="age"),
        pytest.param(
            ["prune", "--keep-last=-1", "--yes"], "--keep-last '-1' must be 0 or more", id="keep less than none"
        ),
        pytest.param(["list", "--quarantine-root=/"], "has no marker", id="no volume"),
        pytest.param(["restore", "runners/runner-0", "/"], "is not an empty directory", id="over something"),
        pytest.param(["restore", "runners/runner-0", "/nosuch/x"], "/nosuch does not exist", id="nowhere"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(site: Site, arguments: list[str], said: str, capsys: Output) -> None:
    site.archive()
    site.archive(OTHER)
    assert run(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_verify_tells_sound_from_corrupt_and_incomplete(site: Site, capsys: Output) -> None:
    for number in range(3):
        site.archive(Identity("runners", f"runner-{number}", UIDS[number]))
    first, second, _ = site.store.archives()
    flip(site.file(first))
    site.file(second).unlink()
    assert run("verify", "--all") == 1
    captured = capsys.readouterr()
    assert [line[:8].strip() for line in captured.out.splitlines()] == ["CORRUPT", "CORRUPT", "ok"]
    assert captured.err.splitlines()[-1] == "1 archive sound, 2 not"
    assert run("verify", "--all", "--output=json") == 1
    assert [json.loads(line)["sound"] for line in capsys.readouterr().out.splitlines()] == [False, False, True]


def test_verify_compares_a_digest_from_elsewhere(site: Site, capsys: Output) -> None:
    digest = site.store.verify(site.archive()).archive_sha256
    assert run("verify", "runner-0", f"--sha256={digest}") == 0
    capsys.readouterr()
    assert run("verify", "runner-0", f"--sha256={'0' * 64}") == 1
    told = capsys.readouterr().out
    assert told.startswith("REPLACED ")
    assert f"sound, but its sha256 is {digest}, not the one given" in told
    assert "CORRUPT" not in told


@pytest.fixture
def copied(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive that was copied with its manifest, without the volume that it was on."""
    stored = site.archive()
    (tmp_path / "copy").mkdir()
    for suffix in (".tar.gz", ".manifest.jsonl"):
        shutil.copy(site.file(stored, suffix), tmp_path / "copy")
    monkeypatch.delenv("METRICS_STORAGE_QUARANTINE_ROOT")
    monkeypatch.chdir(tmp_path / "copy")
    return Path(f"{stored.stem}.tar.gz")


def test_a_copied_archive_needs_no_volume(copied: Path, tmp_path: Path, capsys: Output) -> None:
    for path in (
        copied,
        copied.absolute(),
        copied.absolute().with_name(copied.name.replace(".tar.gz", ".manifest.jsonl")),
    ):
        assert run("verify", path) == 0
        assert run("show", path) == 0
    told = capsys.readouterr().out
    assert told.count("ok ") == 3
    assert run("restore", copied, tmp_path / "copy" / "evidence", "--quiet") == 0
    assert [path.name for path in (tmp_path / "copy" / "evidence").iterdir()] == ["runner-0"]


def test_what_is_wrong_with_a_copy_is_told(copied: Path, capsys: Output) -> None:
    assert run("verify", "runner-0") == 2
    assert (
        "is missing: say where the quarantine volume is mounted, or give the path of a cop" in capsys.readouterr().err
    )
    flip(copied)
    assert run("verify", copied) == 1
    assert capsys.readouterr().out.startswith("CORRUPT ")
    renamed = copied.rename("evidence.tar.gz")
    assert run("verify", renamed) == 1
    assert "is not named like an archive" in capsys.readouterr().err
    renamed.rename(copied)
    Path(copied.name.replace(".tar.gz", ".manifest.jsonl")).unlink()
    assert run("verify", copied) == 1
    assert "manifest.jsonl is missing: copy it, too" in capsys.readouterr().err


def test_a_quiet_verify_prints_what_is_amiss_alone(site: Site, capsys: Output) -> None:
    stored = site.archive()
    assert run("verify", "--all", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    flip(site.file(stored))
    assert run("verify", "--all", "-q") == 1
    assert capsys.readouterr().out.startswith("CORRUPT ")


@pytest.mark.parametrize("command", [["list"], ["list", "--output=json"], ["verify", "--all"]])
def test_a_filter_that_matches_nothing_is_told_and_fails(site: Site, command: list[str], capsys: Output) -> None:
    site.archive()
    assert run(*command, "--namespace=runners", "--name=runner-7") == 1
    assert "no archives of that namespace or name on " in capsys.readouterr().err


def test_restore_gives_back_the_directory(site: Site, capsys: Output) -> None:
    site.archive()
    target = site.root / "out"
    assert run("restore", "runner-0", target, "--dry-run") == 0
    assert not target.exists()
    assert run("restore", "runner-0", target) == 0
    assert (target / "runner-0" / "metrics.json").read_bytes() == b"metrics"
    assert target.stat().st_mode & 0o777 == 0o700
    assert "1 directory, 1 file; 7 B" in capsys.readouterr().out
    assert run("restore", "runner-0", target) == 2


def test_restore_names_what_it_refuses_and_writes_nothing_unless_told_to_skip(site: Site, capsys: Output) -> None:
    hostile(site)
    target = site.root / "out"
    assert run("restore", "runner-0", target) == 1
    captured = capsys.readouterr().err
    assert captured.startswith("refused: runner-0/l: symbolic link to /etc/\\x1b[2J, an absolute path")
    assert not target.exists()
    assert run("restore", "runner-0", target, "--skip-refused") == 3
    assert sorted(os.listdir(target / "runner-0")) == ["\x1b]0;pwned\x07\n", "z"]
    assert "1 entry without setuid" in capsys.readouterr().out


def test_restore_refuses_a_corrupt_archive_and_the_quarantine_volume_itself(site: Site, capsys: Output) -> None:
    flip(site.file(site.archive()))
    assert run("restore", "runner-0", site.root / "out") == 1
    assert not (site.root / "out").exists()
    assert run("restore", "runner-0", site.quarantine / "out") == 2
    assert "is on the quarantine volume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (ArchiveError("No space left on device"), 1)], ids=["^C", "error"]
)
def test_a_restore_that_ended_early_says_what_to_do_next(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output, end: BaseException, code: int
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise end

    stored = site.archive()
    monkeypatch.setattr(restoration, "restore_archive", interrupted)
    target = site.root / "evidence of today"
    assert run("restore", stored.path, target) == code
    assert f"is incomplete: remove it (rm -r '{target}') and restore again" in capsys.readouterr().err


def test_list_tells_minutes(site: Site, capsys: Output) -> None:
    stored = site.archive()
    header = site.store.describe(stored).header
    assert header is not None
    assert run("list") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3] == f"{header.created_at[:16]}Z"


def test_checksums_are_right_for_every_name(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    archiving = Archiving(tmp_path)
    names = [
        b"plain",
        b"line\nfeed",
        b"back\\slash",
        b"\\n",
        b"\xff\xfe",
        b" leading",
        b"return\r",
        b"-rf",
        b"\xc3\xa4",
    ]
    for name in names:
        (archiving.source / os.fsdecode(name)).write_bytes(b"content of " + name)
    with (archiving.source / "holes").open("wb") as holes:
        holes.truncate(1 << 20)
    os.link(archiving.source / "plain", archiving.source / "second name")
    with opened_site(tmp_path) as site:
        archiving.write()
        stored = site.put(archiving)
        assert main(["archives", "show", str(site.file(stored)), "--checksums"]) == 0
    lines = capsysbinary.readouterr().out
    assert lines.count(b"\n") == len(names) + 2
    done = subprocess.run(
        ["sha256sum", "--check", "--strict"],
        input=lines,
        cwd=archiving.extract().parent,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(b": OK\n") == len(names) + 2


def test_checksums_leave_out_what_the_first_version_has_none_of(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    archiving = Archiving(tmp_path)
    written = Path(__file__).parents[1] / "engine" / "format_1"
    shutil.copy(written / "runner-0.tar.gz", archiving.archive)
    shutil.copy(written / "runner-0.manifest.jsonl", archiving.manifest)
    with archiving.manifest.open("rb", buffering=0) as file:
        manifest = ManifestReader(file.fileno())
        lines = list(checksum_lines(iter(manifest), manifest.version))
    assert lines.count(None) == 1
    told = b"".join(line for line in lines if line)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict"],
        input=told,
        cwd=archiving.extract().parent,
        capture_output=True,
        check=False,
    )
    assert done.stdout.count(b": OK\n") == 4
