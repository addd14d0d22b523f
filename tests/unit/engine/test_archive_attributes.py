"""Extended attributes that cannot be had, or change while they are read."""

import errno
import os
from pathlib import Path

import pytest

from tests.unit.engine.archiving import Archiving


def refuse_xattrs(monkeypatch: pytest.MonkeyPatch, call: str, refused: bytes, code: int) -> None:
    """Have a call of `os` fail for an attribute (or a list that has it) as often as it is tried."""
    real = getattr(os, call)

    def refuse(where: int | str, *name: bytes) -> object:
        if refused in name or (not name and os.fsdecode(refused) in real(where)):
            raise OSError(code, "injected")
        return real(where, *name)

    monkeypatch.setattr(os, call, refuse)


def set_xattrs(path: Path, **values: bytes) -> None:
    try:
        for name, value in values.items():
            os.setxattr(path, f"user.{name}", value)
    except OSError as exc:
        pytest.skip(f"no extended attributes here: {exc}")


@pytest.mark.parametrize("code", [errno.E2BIG, errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_list_of_attributes_that_cannot_be_had_is_named_beside_the_content(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (archiving.source / "file").write_text("text")
    set_xattrs(archiving.source / "file", a=b"1")
    refuse_xattrs(monkeypatch, "listxattr", b"user.a", code)
    named = errno.errorcode[code]
    assert archiving.write().problems == (f"runner-0/file: unreadable (extended attributes: {named})",)
    assert not archiving.verify().clean
    entry = archiving.entries()[b"file"]
    assert (entry.stored, entry.error, entry.xattrs_error, entry.xattrs) == (True, None, named, {})
    assert (archiving.extract() / "file").read_text() == "text"


@pytest.mark.parametrize("code", [errno.ENODATA, errno.EIO, errno.ENOTSUP])
def test_an_attribute_that_cannot_be_read_is_named_and_the_others_are_kept(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (archiving.source / "file").write_text("text")
    set_xattrs(archiving.source / "file", a=b"1", b=b"2", c=b"3")
    refuse_xattrs(monkeypatch, "getxattr", b"user.b", code)
    named = errno.errorcode[code]
    assert archiving.write().problems == (f"runner-0/file: unreadable (extended attributes: {named})",)
    archiving.verify()
    assert archiving.entries()[b"file"].xattrs == {b"user.a": b"1", b"user.c": b"3"}


def test_an_attribute_that_is_removed_after_it_was_listed_is_not_missed(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = archiving.source / "file"
    file.touch()
    set_xattrs(file, a=b"1")
    real = os.getxattr

    def getxattr(where: int | str, name: bytes) -> bytes:
        os.removexattr(where, name)
        return real(where, name)

    monkeypatch.setattr(os, "getxattr", getxattr)
    archiving.write()
    assert archiving.entries()[b"file"].xattrs_error is None
