"""Errors as plain data that another process can read: a code that never changes, a message, what the kernel said.

What `explain` says of an error is the same on both sides.
"""

from collections.abc import Mapping
from typing import Any, Final

from metrics_storage import errors
from metrics_storage.errors import MetricsStorageError

_SYSTEM: Final = "SystemError"
"""Code of an OSError, whose `errno` says the rest."""


def encode_error(error: Exception) -> dict[str, Any]:
    """An error as `code`, `message` and `errno`, which is None where the kernel did not refuse anything.

    An error that is not ours is an error of the base class, which keeps the data and is tried again.
    """
    if isinstance(error, OSError):
        return {"code": _SYSTEM, "message": error.strerror or str(error), "errno": error.errno, "file": error.filename}
    if isinstance(error, MetricsStorageError):
        cause = error.__cause__
        return {"code": error.code, "message": str(error), "errno": cause.errno if isinstance(cause, OSError) else None}
    return {"code": MetricsStorageError.code, "message": f"{type(error).__name__}: {error}", "errno": None}


def decode_error(data: Mapping[str, Any]) -> Exception:
    """Read what `encode_error` gave, here or in another version; an unknown code is an error of the base class."""
    number, message = data.get("errno"), str(data["message"])
    if data["code"] == _SYSTEM:
        return OSError(number, message, data.get("file"))
    error = _KINDS.get(data["code"], MetricsStorageError)(message)
    if number is not None:
        error.__cause__ = OSError(number, message)
    return error


_KINDS: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MetricsStorageError)
}
