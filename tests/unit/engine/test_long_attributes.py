"""More names of extended attributes than the kernel lists, which every user can make, are archived all the same."""

import errno
import os
from pathlib import Path

import pytest

from metrics_storage.engine.archives.format import xattrs
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.fs.long_attributes import list_long
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.engines import engine_below
from tests.unit.engine.loops import mounted

IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
NOW = "2026-01-01T00:00:00Z"
COUNT = 400


def spoil(path: Path, prefix: str = "user.") -> None:
    """Give a file attributes whose names together take more than 64 KiB."""
    for number in range(COUNT):
        os.setxattr(path, f"{prefix}{'n' * 200}{number}", b"v" * (number % 50))


@pytest.mark.parametrize("file_system", ["xfs", "btrfs"])
def test_every_name_is_told_as_the_kernel_tells_few(file_system: str) -> None:
    with mounted(file_system) as root:
        (root / "file").touch()
        (root / "directory").mkdir()
        beside = os.open(root, os.O_RDONLY)
        for path in (root / "file", root / "directory"):
            os.setxattr(path, "trusted.t", b"1")
            os.setxattr(path, "security.s", b"1")
            os.setxattr(path, "system.posix_acl_access", acl())
            fd = os.open(path, os.O_RDONLY)
            few = sorted(list_long(fd, beside, 1 << 20))
            assert few == sorted(map(os.fsencode, os.listxattr(path)))
            spoil(path)
            with pytest.raises(OSError, match="Argument list too long"):
                os.listxattr(path)
            many = list_long(fd, beside, 1 << 20)
            assert len(set(many)) == len(many) == len(few) + COUNT
            assert all(os.getxattr(path, name) is not None for name in many)
            assert len(list_long(fd, beside, 2000)) < 20
            os.close(fd)
        os.close(beside)


def acl() -> bytes:
    """An access control list with a user of its own, as the kernel stores it."""
    entries = [(1, 6, 2**32 - 1), (2, 4, 1000), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 4, 2**32 - 1)]
    return (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + owner.to_bytes(4, "little")
        for tag, bits, owner in entries
    )


@pytest.mark.parametrize("file_system", ["xfs", "btrfs"])
def test_such_a_source_is_archived_whole(file_system: str) -> None:
    with mounted(file_system) as root, engine_below(root) as engine:
        engine.ensure(IDENTITY, StorageSpec(owner="0:0"))
        live = engine.storage.path / IDENTITY.namespace / IDENTITY.directory_name
        (live / "file").write_text("evidence")
        (live / "directory").mkdir()
        for path in (live, live / "file", live / "directory"):
            spoil(path)
        engine.latch(IDENTITY, "bad", NOW)
        record = engine.archive(IDENTITY)
        assert record.phase is Phase.VERIFIED
        assert record.quarantine is not None
        assert record.quarantine.archive is not None
        archive = root / "quarantine" / record.quarantine.archive.path
        manifest = archive.with_name(archive.name.removesuffix(".tar.gz") + ".manifest.jsonl")
        fd = os.open(manifest, os.O_RDONLY)
        assert [len(entry.xattrs) >= COUNT for entry in ManifestReader(fd)] == [True] * 3
        os.close(fd)


def test_without_the_right_to_ask_known_attributes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(xattrs, "list_long", refuse)
    with mounted("xfs") as root:
        path = root / "file"
        path.touch()
        os.setxattr(path, "system.posix_acl_access", acl())
        spoil(path)
        entry = Entry(b"file", 1)
        xattrs.read_xattrs(entry, str(path))
    assert entry.xattrs == {b"system.posix_acl_access": acl()}
    assert (entry.status, entry.xattrs_error) == ("unreadable", "E2BIG")
