"""Errors cross to another process and back, and mean there what they mean here."""

import errno
import json

import pytest

from metrics_storage import errors
from metrics_storage.errors import ArchiveError, MetricsStorageError
from metrics_storage.model.error_codes import decode_error, encode_error
from metrics_storage.model.error_reasons import explain

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MetricsStorageError)]


def sent(error: Exception) -> Exception:
    return decode_error(json.loads(json.dumps(encode_error(error))))


def refused(kind: type[MetricsStorageError], number: int) -> MetricsStorageError:
    error = kind("the volume says no")
    error.__cause__ = OSError(number, "no")
    return error


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS) > 25
    assert all("code" in vars(kind) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_ours_stays_of_its_kind(kind: type[MetricsStorageError]) -> None:
    error = sent(kind("it is so"))
    assert type(error) is kind
    assert explain(error) == explain(kind("it is so"))


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EROFS, errno.EIO])
def test_what_the_kernel_said_is_known_on_the_other_side(number: int) -> None:
    error = OSError(number, "no", "/mnt/journal")
    assert str(sent(error)) == str(error)
    assert explain(sent(error)) == explain(error)
    assert explain(sent(refused(ArchiveError, number))) == explain(refused(ArchiveError, number))


def test_an_error_of_nobody_is_tried_again() -> None:
    error = sent(RuntimeError("a bug"))
    assert type(error) is MetricsStorageError
    assert "RuntimeError: a bug" in explain(error).message
    assert not explain(error).stalled


def test_a_code_of_a_later_version_is_tried_again() -> None:
    error = decode_error({"code": "WrittenLater", "message": "new", "errno": None, "more": 1})
    assert type(error) is MetricsStorageError
    assert not explain(error).stalled
