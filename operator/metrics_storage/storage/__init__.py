"""The Python API for runner managers: storages for runners' metrics, on a local directory or in a cluster.

The functions work on a local directory (see `metrics_storage.storage.local` for where it is), so that this
module is itself a `StorageManager`. `FilesystemStorageManager` is the same with explicit settings;
`KubernetesStorageManager` lets the operator do the work, and is imported on first use: the Kubernetes client
takes most of a second to import, and is installed by the extra `kubernetes` alone.

    from metrics_storage import storage

    runner = storage.create("runner-0")
    ...
    if is_suspicious(runner.path):
        storage.move_to_quarantine(storage, "runner-0")
    else:
        storage.delete("runner-0")

`recover`, called when a runner manager starts, goes on with what a crash interrupted.
"""

from typing import TYPE_CHECKING

from metrics_storage.constants import FILESYSTEM_OWNER
from metrics_storage.errors import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    GetMetricsStorageError,
    MetricsStorageError,
    QuarantineMetricsStorageError,
)
from metrics_storage.storage.filesystem import FilesystemStorageManager
from metrics_storage.storage.local import create, delete, get, list_all, move_to_quarantine, recover
from metrics_storage.storage.protocol import MetricsStorage, StorageManager

if TYPE_CHECKING:
    from metrics_storage.storage.cluster import KubernetesStorageManager

__all__ = [
    "FILESYSTEM_OWNER",
    "CreateMetricsStorageError",
    "DeleteMetricsStorageError",
    "FilesystemStorageManager",
    "GetMetricsStorageError",
    "KubernetesStorageManager",
    "MetricsStorage",
    "MetricsStorageError",
    "QuarantineMetricsStorageError",
    "StorageManager",
    "create",
    "delete",
    "get",
    "list_all",
    "move_to_quarantine",
    "recover",
]


if not TYPE_CHECKING:  # A type checker would take every wrong name for one that this function knows.

    def __getattr__(name):
        if name == "KubernetesStorageManager":
            from metrics_storage.storage.cluster import KubernetesStorageManager  # noqa: PLC0415

            return KubernetesStorageManager
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
