"""Whether a person is called: by everything that the kernel says of a volume and that waiting does not mend."""

import errno
import os

import pytest

from metrics_storage.errors import ArchiveError, PersistentlyUncleanError, UncleanArchiveError, VolumeError
from metrics_storage.model.error_reasons import MAX_RETRY_AFTER, explain

PASSING = {
    *("EINTR", "EAGAIN", "EBUSY", "ETXTBSY", "EDEADLK", "EDEADLOCK", "ENOLCK", "ECANCELED"),
    *("ENOMEM", "ENOBUFS", "EMFILE", "ENFILE", "ENOENT", "EEXIST", "ENOTEMPTY", "ESTALE"),
    *("EPIPE", "ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED"),
    *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH"),
}
LASTING = [pytest.param(code, id=name) for code, name in errno.errorcode.items() if name not in PASSING]
OVER_SOON = [pytest.param(code, id=name) for code, name in errno.errorcode.items() if name in PASSING]


def refused(code: int) -> OSError:
    return OSError(code, os.strerror(code), "/srv/x")


def not_archived(code: int) -> ArchiveError:
    """As the store of archives says it."""
    error = ArchiveError(f"archiving runners/runner-0: {refused(code)}")
    error.__cause__ = refused(code)
    return error


@pytest.mark.parametrize("code", LASTING)
def test_what_the_storage_volume_refuses_for_good_calls_a_person(code: int) -> None:
    problem = explain(refused(code))
    assert (problem.reason, problem.stalled) == ("VolumeUnavailable", True)
    assert "/srv/x" in problem.message
    assert "see to the storage volume" in problem.message


@pytest.mark.parametrize("code", LASTING)
def test_what_the_quarantine_volume_refuses_for_good_calls_a_person(code: int) -> None:
    problem = explain(not_archived(code))
    assert (problem.reason, problem.stalled) == ("VolumeUnavailable", True)
    assert "archiving runners/runner-0" in problem.message
    assert "see to the quarantine volume" in problem.message


@pytest.mark.parametrize("code", OVER_SOON)
def test_what_may_be_over_at_the_next_attempt_calls_nobody(code: int) -> None:
    for error in (refused(code), not_archived(code)):
        assert (explain(error).reason, explain(error).stalled) == ("TemporaryError", False)


def test_an_archive_that_was_interrupted_calls_nobody() -> None:
    assert not explain(ArchiveError("interrupted by the operator's end")).stalled


def test_a_time_that_ran_out_calls_nobody() -> None:
    assert not explain(TimeoutError("not done within 10 s")).stalled


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (UncleanArchiveError("changed"), 5),
        (ZeroDivisionError("division by zero"), 5),
        (VolumeError("not mounted"), 20),
        (refused(errno.EIO), 20),
        (PersistentlyUncleanError("unreadable"), 600),
    ],
)
def test_each_reason_says_how_long_to_wait(error: Exception, seconds: float) -> None:
    assert explain(error).retry_after == seconds <= MAX_RETRY_AFTER
