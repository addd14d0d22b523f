"""Restoring refuses what could harm whoever restores, by name."""

import errno
import os
import tarfile
from typing import Any

import pytest

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.tarformat import BLOCK
from metrics_storage.errors import ArchiveCorruptError, ArchiveError
from tests.unit.engine.archiving import Archiving
from tests.unit.engine.forging import Parts, directory, file, forge, hard_link, sparse_file, symlink
from tests.unit.engine.restoring import SKIP, look, restore


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param(
            [symlink(b"runner-0/l", b"/etc/shadow")], "l: symbolic link to /etc/shadow, an absolute", id="abs"
        ),
        pytest.param([symlink(b"runner-0/l", b"..")], "out of the directory", id="the directory above"),
        pytest.param([symlink(b"runner-0/l", b"./.././x")], "out of the directory", id="climbs behind a dot"),
        pytest.param(
            [directory(b"runner-0/d", 1), symlink(b"runner-0/d/l", b"../..", 2)],
            "out of the directory",
            id="two levels",
        ),
        pytest.param(
            [symlink(b"runner-0/d", b"."), symlink(b"runner-0/l", b"d/d/../../x")],
            "which climbs after it descends",
            id="through another link",
        ),
        pytest.param([symlink(b"runner-0/l", b"")], "which no link can say", id="empty target"),
        pytest.param([symlink(b"runner-0/l", b"x" * 5000)], "which no link can say", id="endless target"),
        pytest.param([file(b"runner-0/a", mtime_ns=2**63 * 10**9)], "which no file can have", id="time"),
    ],
)
def test_dangerous_entries_are_refused_by_name(archiving: Archiving, parts: list[Parts], said: str) -> None:
    forge(archiving, directory(), *parts, file(b"runner-0/z"))
    refused = look(archiving).refused
    assert any(said in text for text in refused.named), refused.named
    with pytest.raises(ArchiveError, match=r"runner-0/."):
        restore(archiving)
    assert not (archiving.root / "restored" / "runner-0" / "z").exists()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([hard_link(b"runner-0/l", b"/etc/shadow")], id="outside"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0/../../x")], id="climbs"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0")], id="the directory"),
        pytest.param([symlink(b"runner-0/a", b"/etc/shadow"), hard_link(b"runner-0/l", b"runner-0/a")], id="a link"),
        pytest.param([file(b"runner-0/a"), hard_link(b"runner-0/l", b"runner-0/a")], id="a file with one"),
    ],
)
def test_hard_links_of_version_1_lead_to_nothing_but_restored_files(archiving: Archiving, parts: list[Parts]) -> None:
    forge(archiving, directory(), *parts, version=1)
    assert any("which is no restored file of the archive" in text for text in look(archiving).refused.named)
    target, restored = restore(archiving, SKIP)
    assert restored.refused.count >= 1
    assert not (target / "runner-0" / "l").exists()


def test_refused_entries_can_be_left_out(archiving: Archiving) -> None:
    forge(
        archiving,
        directory(),
        symlink(b"runner-0/a", b"/etc/shadow"),
        symlink(b"runner-0/b", b".."),
        file(b"runner-0/c", b"c" * 1000),
        symlink(b"runner-0/d", b"c"),
    )
    target, restored = restore(archiving, SKIP)
    assert restored.refused.count == 2
    assert sorted(os.listdir(target / "runner-0")) == ["c", "d"]
    assert (target / "runner-0" / "d").read_bytes() == b"c" * 1000


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([file(b"../evil")], id="parent"),
        pytest.param([file(b"runner-0/../evil")], id="parent inside"),
        pytest.param([file(b"/tmp/evil")], id="absolute"),
        pytest.param([file(b"runner-0/..")], id="named like the parent"),
        pytest.param([file(b"runner-0/a"), file(b"runner-0/a", b"again")], id="twice"),
        pytest.param([symlink(b"runner-0/a", b"/tmp"), file(b"runner-0/a/evil", depth=2)], id="through a link"),
        pytest.param([file(b"runner-0/a"), file(b"runner-0/a/evil", depth=2)], id="through a file"),
        pytest.param([file(b"elsewhere/a")], id="another top"),
        pytest.param([file(b"runner-0~1/a")], id="a fold that is none"),
        pytest.param([file(b"runner-0/a", size=10**15, payload=10**15)], id="huge size"),
        pytest.param([sparse_file(b"runner-0/a", b"7", 10**18)], id="sparse without map"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0")], id="hard link to the directory"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0/l")], id="hard link to itself"),
        pytest.param([symlink(b"runner-0/a", b"x"), hard_link(b"runner-0/l", b"runner-0/a")], id="hard link to a link"),
        pytest.param([file(b"runner-0/a"), hard_link(b"runner-0/l", b"runner-0/a")], id="hard link to a single file"),
        pytest.param([(Entry(b"runner-0/a", 1, type="directory", stored=False), b"")], id="directory not stored"),
    ],
)
def test_what_the_writer_never_writes_is_corrupt_though_archive_and_manifest_agree(
    archiving: Archiving, parts: list[Parts]
) -> None:
    forge(archiving, directory(), *parts)
    with pytest.raises(ArchiveCorruptError):
        restore(archiving, SKIP)
    assert os.listdir(archiving.root / "restored") == []


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE], ids=["chr", "blk", "contiguous"])
def test_members_of_other_types_are_never_restored(archiving: Archiving, kind: bytes) -> None:
    info = tarfile.TarInfo("runner-0/device")
    info.type, info.devmajor, info.devminor = kind, 1, 3
    forge(archiving, directory(), raw=info.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(ArchiveCorruptError):
        restore(archiving, SKIP)


def test_a_size_beyond_the_file_system_is_refused_by_name(archiving: Archiving) -> None:
    size = 2**62
    content = b"1\n%d\n0\n" % size
    content += bytes(-len(content) % BLOCK)
    forge(archiving, directory(), sparse_file(b"runner-0/a", content, size), file(b"runner-0/b"))
    target, restored = restore(archiving, SKIP)
    assert restored.refused.named == ["runner-0/a: this file system cannot hold it: File too large"]
    assert os.listdir(target / "runner-0") == ["b"]


@pytest.mark.parametrize("refusal", [errno.EEXIST, errno.EACCES, errno.EILSEQ, errno.EINVAL])
def test_a_name_that_the_target_refuses_is_left_out_with_all_below(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    make, create = os.mkdir, os.open

    def refuse(name: object, *arguments: Any, **named: Any) -> None:
        if name in (b"AUX", b"NUL"):
            raise OSError(refusal, os.strerror(refusal))

    def mkdir(name: Any, *arguments: Any, **named: Any) -> None:
        refuse(name)
        make(name, *arguments, **named)

    def open_(name: Any, *arguments: Any, **named: Any) -> int:
        refuse(name)
        return create(name, *arguments, **named)

    below = (directory(b"runner-0/AUX", 1), directory(b"runner-0/AUX/deep", 2), file(b"runner-0/AUX/deep/a", depth=3))
    forge(archiving, directory(), *below, file(b"runner-0/NUL"), file(b"runner-0/b"))
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "open", open_)
    target, restored = restore(archiving, SKIP)
    assert [text.partition(": ")[0] for text in restored.refused.named] == [
        "runner-0/AUX",
        "runner-0/AUX/deep",
        "runner-0/AUX/deep/a",
        "runner-0/NUL",
    ]
    assert os.listdir(target / "runner-0") == ["b"]
