"""What a metrics storage is, and what every manager of storages can do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from metrics_storage.errors import InvalidSpecError, MetricsStorageError
from metrics_storage.model.identity import Identity, Uid

REASON: Final = "moved to quarantine by its runner manager"
"""Why a storage is in quarantine, where its manager was told nothing else."""

_ANY_UID: Final = Uid("00000000-0000-0000-0000-000000000000")


@dataclass
class MetricsStorage:
    """The storage of one runner.

    Attributes:
        path: the directory that holds the metrics.
        runner_name: the name of the runner.
    """

    path: Path
    runner_name: str


class StorageManager(Protocol):
    """What manages storages: an object, or a module with these four functions such as `metrics_storage.storage`."""

    def create(self, runner_name: str, /) -> MetricsStorage:
        """Make a new storage; raises CreateMetricsStorageError, also where it exists already."""

    def list_all(self) -> Iterator[MetricsStorage]:
        """Every storage that exists; raises GetMetricsStorageError where they cannot be read."""

    def get(self, runner_name: str, /) -> MetricsStorage:
        """The storage of a runner; raises GetMetricsStorageError, also where there is none."""

    def delete(self, runner_name: str, /) -> None:
        """Remove a storage; raises DeleteMetricsStorageError, also where there is none."""


QuarantineMethod = Callable[[str], None]
"""`move_to_quarantine(runner_name)` of a manager that has it."""


def check_name(namespace: str, runner_name: str) -> None:
    """See that a runner's name can be that of a MetricsStorage: an RFC 1123 subdomain.

    Raises:
        InvalidSpecError: it is not, or the namespace is no RFC 1123 label.
    """
    if not isinstance(runner_name, str):
        raise InvalidSpecError(f"name {runner_name!r} is of type {type(runner_name).__name__}, expected str")
    Identity(namespace, runner_name, _ANY_UID)


@contextmanager
def raising(kind: type[MetricsStorageError], subject: str) -> Iterator[None]:
    """Turn the errors of the layers below into the one that a function promises; `subject` begins the message."""
    try:
        yield
    except kind:
        raise
    except (MetricsStorageError, OSError) as exc:
        raise kind(f"{subject}: {exc}") from exc
