"""A copied volume is adopted by a person's word, and nothing that is another's ever is."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from metrics_storage.cli.main import main
from metrics_storage.engine.lifecycle.adoption import ADOPTED, Candidate, Verdict, adopt, survey
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import DirectoryExistsError, DirectoryVanishedError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.engines import engine_below

SPEC = StorageSpec(owner=f"{os.getuid()}:{os.getgid()}")
IDENTITIES = [
    Identity("runners", f"runner-{number}", Uid(f"{number}b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")) for number in range(5)
]
MARK = "user.metrics-storage"
NOW = "2026-01-01T00:00:00Z"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Two volumes that were copied to another disk: one directory live, one frozen, one in the trash, one latched."""
    old = tmp_path / "old"
    with engine_below(old) as engine:
        for identity in IDENTITIES:
            engine.ensure(identity, SPEC)
            (live(old, identity) / "evidence").write_text(identity.name)
        engine.latch(IDENTITIES[1], "bad", NOW)
        engine.condemn(IDENTITIES[2])
    # The old one stays, so that no inode number can be used again.
    subprocess.run(["cp", "-a", old, tmp_path / "new"], check=True)
    return tmp_path / "new"


def live(root: Path, identity: Identity) -> Path:
    return root / "storage" / identity.namespace / identity.directory_name


def verdicts(root: Path) -> dict[str, Candidate]:
    with Volume(root / "storage", Role.STORAGE, initialise=False) as volume:
        return {candidate.uid: candidate for candidate in survey(volume)}


def test_a_copy_is_told_as_one_and_adopted_on_request(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with engine_below(copied) as engine, pytest.raises(DirectoryExistsError, match=r"it is a copy.*adopt-volume /"):
        engine.ensure(IDENTITIES[0], SPEC)
    assert main(["adopt-volume", str(copied / "storage")]) == 0
    told = capsys.readouterr()
    assert "5 copy" in told.out
    assert "copy: runners/runner-0" in told.out
    assert "Nothing was changed" in told.err
    with engine_below(copied) as engine, pytest.raises(DirectoryExistsError):
        engine.ensure(IDENTITIES[0], SPEC)
    assert main(["adopt-volume", str(copied / "storage"), "--yes"]) == 0
    capsys.readouterr()
    with engine_below(copied) as engine:
        assert engine.ensure(IDENTITIES[0], SPEC).record.phase is Phase.PROVISIONED
        assert engine.archive(IDENTITIES[1]).phase is Phase.VERIFIED
        for identity in IDENTITIES:
            assert engine.remove(identity).phase is Phase.GONE
    assert main(["adopt-volume", str(copied / "storage")]) == 0
    assert "5 missing" in capsys.readouterr().out


def test_an_engine_that_adopts_goes_on_from_every_step(copied: Path) -> None:
    with engine_below(copied, adopting=True) as engine:
        assert engine.ensure(IDENTITIES[0], SPEC).record.phase is Phase.PROVISIONED
        assert engine.snapshot(IDENTITIES[1]).phase is Phase.PROVISIONED
        assert engine.archive(IDENTITIES[1]).phase is Phase.VERIFIED
        assert engine.remove(IDENTITIES[2]).phase is Phase.GONE
        assert engine.retain(IDENTITIES[3]).phase is Phase.RETAINED
        assert engine.remove(IDENTITIES[4]).phase is Phase.GONE


@pytest.mark.parametrize("adopting", [False, True])
def test_what_is_no_copy_is_never_adopted(copied: Path, adopting: bool) -> None:
    replaced, unmarked = live(copied, IDENTITIES[0]), live(copied, IDENTITIES[3])
    os.setxattr(replaced, MARK, os.getxattr(live(copied, IDENTITIES[4]), MARK))
    os.removexattr(unmarked, MARK)
    with engine_below(copied, adopting=adopting) as engine:
        for identity in (IDENTITIES[0], IDENTITIES[3]):
            with pytest.raises(DirectoryExistsError, match="somebody replaced it"):
                engine.remove(identity)
        assert (replaced / "evidence").exists()
    found = verdicts(copied)
    assert found[IDENTITIES[0].uid].verdict is Verdict.OTHER
    assert found[IDENTITIES[3].uid].verdict is Verdict.UNMARKED
    assert main(["adopt-volume", str(copied / "storage"), "--yes"]) == 0
    with engine_below(copied) as engine:
        with pytest.raises(DirectoryExistsError, match="somebody replaced it"):
            engine.remove(IDENTITIES[0])
        assert engine.remove(IDENTITIES[3]).phase is Phase.GONE
        assert (replaced / "evidence").exists()


def test_a_mark_never_speaks_against_an_inode_number_that_agrees(copied: Path) -> None:
    old = copied.with_name("old")
    os.setxattr(live(old, IDENTITIES[0]), MARK, b"whatever a runner likes")
    assert {candidate.verdict for candidate in verdicts(old).values()} == {Verdict.UNCHANGED}
    with engine_below(old) as engine:
        assert engine.remove(IDENTITIES[0]).phase is Phase.GONE


def test_what_is_missing_or_unreadable_is_told_and_left(copied: Path) -> None:
    shutil.rmtree(live(copied, IDENTITIES[0]))
    journal = copied / "storage" / ".metrics-storage" / "journal"
    (journal / f"{IDENTITIES[3].uid}.json").write_text("{")
    found = verdicts(copied)
    assert found[IDENTITIES[0].uid].verdict is Verdict.MISSING
    assert found[IDENTITIES[3].uid].verdict is Verdict.UNREADABLE
    assert not {found[IDENTITIES[0].uid].verdict, found[IDENTITIES[3].uid].verdict} & set(ADOPTED)
    main(["adopt-volume", str(copied / "storage"), "--yes"])
    with engine_below(copied) as engine, pytest.raises(DirectoryVanishedError):
        engine.remove(IDENTITIES[0])


def test_a_volume_in_use_is_not_adopted(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with engine_below(copied):
        assert main(["adopt-volume", str(copied / "storage"), "--yes"]) != 0
    assert "is in use by" in capsys.readouterr().err


def test_only_what_may_be_adopted_is(copied: Path) -> None:
    with Volume(copied / "storage", Role.STORAGE, initialise=False) as volume:
        for verdict in set(Verdict) - set(ADOPTED):
            with pytest.raises(Exception, match="cannot be adopted"):
                adopt(volume, Candidate(IDENTITIES[0].uid, verdict, ""))


def test_a_mark_that_cannot_be_read_matters_to_no_directory_whose_number_agrees(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "getxattr", refuse)
    with engine_below(copied.with_name("old")) as engine:
        assert engine.ensure(IDENTITIES[0], SPEC).record.phase is Phase.PROVISIONED
        assert engine.remove(IDENTITIES[0]).phase is Phase.GONE
