"""The judge judged: sound disks made by hand pass, and each way of breaking a promise on them is seen."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.crash.handmade import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def _gone(disk: Disk) -> None:
    disk.commit("Condemned")
    shutil.rmtree(disk.trash)
    disk.record("Gone", reason="evil", archive=disk.said())
    disk.subject.done |= {"remove", "release"}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda disk: None, id="made"),
        pytest.param(Disk.latch, id="latched"),
        pytest.param(Disk.freeze, id="frozen"),
        pytest.param(Disk.commit, id="verified"),
        pytest.param(lambda disk: disk.commit("Condemned"), id="condemned"),
        pytest.param(_gone, id="gone"),
    ],
)
def test_a_sound_disk_has_nothing_against_it(disk: Disk, make: Callable[[Disk], None]) -> None:
    make(disk)
    assert disk.judged() == []
    assert disk.judged() == []


def test_a_sound_end_has_nothing_against_it(disk: Disk) -> None:
    assert disk.judged("provisioned") == []
    _gone(disk)
    assert disk.judged("gone") == []


def _lose_source(disk: Disk) -> None:
    disk.freeze()
    shutil.rmtree(disk.frozen)


def _alter_source(disk: Disk) -> None:
    disk.freeze()
    (disk.frozen / "metrics.json").write_text("[]")


def _condemn_without_archive(disk: Disk) -> None:
    disk.freeze()
    disk.frozen.rename(disk.trash)
    disk.record("Condemned", reason="evil")


def _condemn_with_another_archive(disk: Disk) -> None:
    disk.commit("Condemned")
    disk.record("Condemned", reason="evil", archive=disk.said() | {"sha256": "0" * 64})


def _condemn_with_unclean_archive(disk: Disk) -> None:
    disk.commit("Condemned")
    disk.record("Condemned", reason="evil", archive=disk.said(clean=False))


def _condemn_with_lacking_archive(disk: Disk) -> None:
    disk.freeze()
    disk.write_archive(without="metrics.json", clean=False)
    disk.frozen.rename(disk.trash)
    disk.record("Condemned", reason="evil", archive=disk.said())


def _rot(disk: Disk) -> None:
    _gone(disk)
    data = bytearray(disk.archive.read_bytes())
    data[len(data) // 2] ^= 1
    disk.archive.write_bytes(data)


def _remove_half_uncondemned(disk: Disk) -> None:
    disk.subject.begun |= {"remove"}
    (disk.live / "metrics.json").unlink()


def _trash_unknown(disk: Disk) -> None:
    disk.subject.begun |= {"remove", "forget"}
    disk.live.rename(disk.trash)
    disk.entry.unlink()


def _trash_another(disk: Disk) -> None:
    disk.subject.begun |= {"remove"}
    disk.live.rename(disk.trash)
    disk.record("Condemned", inode=disk.inode + 1)


def _stand_twice(disk: Disk) -> None:
    disk.freeze()
    shutil.copytree(disk.frozen, disk.live, symlinks=True)


def _replace_archive(disk: Disk) -> None:
    disk.commit()
    disk.judged()
    aside = disk.archive.with_suffix(".copy")
    aside.write_bytes(disk.archive.read_bytes())
    aside.rename(disk.archive)


def _touch_archive(disk: Disk) -> None:
    disk.commit()
    disk.judged()
    disk.archive.touch()


def _remove_archive(disk: Disk) -> None:
    disk.commit()
    disk.judged()
    disk.archive.unlink()
    disk.manifest.unlink()


def _touch_canary(disk: Disk) -> None:
    disk.outside.write_text("secret, but read")


def _chmod_canary(disk: Disk) -> None:
    disk.outside.chmod(0o777)


def _release_early(disk: Disk) -> None:
    disk.subject.begun |= {"remove"}
    disk.subject.done |= {"release"}


def _release_condemned(disk: Disk) -> None:
    disk.subject.begun |= {"remove"}
    disk.subject.done |= {"release"}
    shutil.rmtree(disk.live)
    disk.record("Condemned")


def _retain_elsewhere(disk: Disk) -> None:
    disk.subject.begun |= {"retain"}
    disk.subject.done |= {"release"}
    disk.live.rename(disk.trash)
    disk.record("Retained")


def _forget_living(disk: Disk) -> None:
    disk.subject.begun |= {"forget"}
    disk.entry.unlink()


def _unlatch(disk: Disk) -> None:
    disk.latch()
    disk.record("Provisioned")


def _change_reason(disk: Disk) -> None:
    disk.latch()
    disk.record("Provisioned", reason="another")


def _vanish(disk: Disk) -> None:
    shutil.rmtree(disk.live)


def _tear_journal(disk: Disk) -> None:
    disk.entry.write_text(disk.entry.read_text()[:-5])


def _archive_alone(disk: Disk) -> None:
    disk.commit()
    disk.manifest.unlink()


def _archive_lacks(disk: Disk) -> None:
    disk.freeze()
    disk.write_archive(without="nested")


def _archive_has_more(disk: Disk) -> None:
    disk.freeze()
    (disk.frozen / "from-outside").write_text("secret")
    disk.write_archive()
    (disk.frozen / "from-outside").unlink()


@pytest.mark.parametrize(
    ("promise", "break_"),
    [
        pytest.param(promise, break_, id=f"{promise}{break_.__name__}")
        for promise, breaks in {
            "P1": [
                _lose_source, _alter_source, _condemn_without_archive, _condemn_with_another_archive,
                _condemn_with_unclean_archive, _condemn_with_lacking_archive, _rot,
            ],
            "P2": [_remove_half_uncondemned, _trash_unknown, _trash_another, _stand_twice],
            "P3": [_replace_archive, _touch_archive, _remove_archive],
            "P4": [_touch_canary, _chmod_canary],
            "P5": [_release_early, _release_condemned, _retain_elsewhere, _forget_living],
            "P6": [_unlatch, _change_reason],
            "P7": [_vanish],
            "P9": [_tear_journal],
            "P10": [_archive_alone, _archive_lacks, _archive_has_more],
        }.items()
        for break_ in breaks
    ],
)  # fmt: skip
def test_a_broken_promise_is_seen(disk: Disk, promise: str, break_: Callable[[Disk], None]) -> None:
    break_(disk)
    assert promise in disk.broken()


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(lambda disk: disk.entry.with_name(".x.tmp").touch(), id="temporary journal file"),
        pytest.param(lambda disk: (disk.incoming / "half.tar.gz").touch(), id="half archive"),
        pytest.param(lambda disk: disk.trash.mkdir(), id="directory in trash"),
        pytest.param(lambda disk: disk.live.chmod(0o700), id="unfinished mode"),
        pytest.param(lambda disk: disk.live.parent.chmod(0o700), id="closed namespace"),
        pytest.param(lambda disk: disk.record("Provisioning"), id="unfinished record"),
    ],
)
def test_what_did_not_converge_is_seen(disk: Disk, leave: Callable[[Disk], None]) -> None:
    leave(disk)
    assert "P9" in disk.broken("provisioned")


def test_bytes_after_an_archive_are_seen(disk: Disk) -> None:
    disk.commit("Condemned")
    disk.archive.write_bytes(disk.archive.read_bytes() + gzip.compress(b"more"))
    assert "P1" in disk.broken()
