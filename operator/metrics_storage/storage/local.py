"""The functions of `metrics_storage.storage`: storages in a local directory, found by argument or environment.

| argument | environment | default |
| --- | --- | --- |
| `base_path` | `METRICS_STORAGE_BASE_PATH` | `/var/lib/metrics-storage/local` |
| `quarantine_path` | `METRICS_STORAGE_QUARANTINE_PATH` | `/var/lib/metrics-storage/local-quarantine` |
| `owner` | `METRICS_STORAGE_OWNER` | `FILESYSTEM_OWNER` |

An empty variable is one that is not set. `~` is expanded; paths in the environment are absolute, and so do not change
with the working directory. The operator's own volumes are other variables and other directories.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from metrics_storage.constants import FILESYSTEM_OWNER
from metrics_storage.errors import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    GetMetricsStorageError,
    MetricsStorageError,
    QuarantineMetricsStorageError,
    SettingsError,
)
from metrics_storage.storage.filesystem import FilesystemStorageManager
from metrics_storage.storage.other_managers import archive_directory
from metrics_storage.storage.paths import directory_path
from metrics_storage.storage.protocol import MetricsStorage, QuarantineMethod, StorageManager, check_name, raising
from metrics_storage.storage.records import NAMESPACE

_BASE_PATH: Final = "/var/lib/metrics-storage/local"
_QUARANTINE_PATH: Final = "/var/lib/metrics-storage/local-quarantine"

_PathLike = Path | str | None


def create(
    runner_name: str, *, base_path: _PathLike = None, quarantine_path: _PathLike = None, owner: str | None = None
) -> MetricsStorage:
    """Make the storage of a runner, and the base directories where they are missing. Not idempotent.

    Raises:
        CreateMetricsStorageError: it exists already, or could not be made; then nothing is left behind.
    """
    with raising(CreateMetricsStorageError, f"storage of runner {runner_name!r} was not created"):
        return _manager(base_path, quarantine_path, owner).create(runner_name)


def list_all(*, base_path: _PathLike = None) -> Iterator[MetricsStorage]:
    """Every storage that exists; nothing where there is no base directory.

    Raises:
        GetMetricsStorageError: the base directory is not one of storages, or cannot be read.
    """
    with raising(GetMetricsStorageError, "storages cannot be listed"):
        return _manager(base_path).list_all()


def get(runner_name: str, *, base_path: _PathLike = None) -> MetricsStorage:
    """The storage of a runner.

    Raises:
        GetMetricsStorageError: there is none.
    """
    with raising(GetMetricsStorageError, f"storage of runner {runner_name!r}"):
        return _manager(base_path).get(runner_name)


def delete(runner_name: str, *, base_path: _PathLike = None, quarantine_path: _PathLike = None) -> None:
    """Remove the storage of a runner.

    Raises:
        DeleteMetricsStorageError: there is none, or it could not be removed.
    """
    with raising(DeleteMetricsStorageError, f"storage of runner {runner_name!r} was not deleted"):
        _manager(base_path, quarantine_path).delete(runner_name)


def recover(*, base_path: _PathLike = None, quarantine_path: _PathLike = None) -> None:
    """Finish everything that was interrupted, quarantines included; call it at the start of a runner manager.

    Raises:
        MetricsStorageError: what is left, and why; the rest is finished.
    """
    with raising(MetricsStorageError, "recovery"):
        _manager(base_path, quarantine_path).recover()


def move_to_quarantine(
    storage_manager: StorageManager,
    runner_name: str,
    *,
    base_path: _PathLike = None,
    quarantine_path: _PathLike = None,
) -> None:
    """Archive the storage of a runner, verify the archive, and only then delete the storage.

    A manager with a method `move_to_quarantine(runner_name)` does it by itself. For the module
    `metrics_storage.storage`, the local directory is archived. For any other manager the directory that its `get`
    tells is archived below `quarantine_path`, under a name never used before, and its `delete` removes it after
    that; nobody may write to it meanwhile.

    Raises:
        QuarantineMetricsStorageError: there is no such storage, or it could not be archived (then it is kept) or
            not be deleted.
    """
    with raising(QuarantineMetricsStorageError, f"storage of runner {runner_name!r} was not quarantined"):
        if getattr(storage_manager, "delete", None) is delete:
            _manager(base_path, quarantine_path).move_to_quarantine(runner_name)
        elif own := _own_method(storage_manager):
            with _errors_of_others(f"storage of runner {runner_name!r} was not quarantined"):
                own(runner_name)
        else:
            check_name(NAMESPACE, runner_name)
            _quarantine_of_other_manager(storage_manager, runner_name, _path(quarantine_path, "QUARANTINE_PATH"))


def _quarantine_of_other_manager(storage_manager: StorageManager, runner_name: str, quarantine_path: Path) -> None:
    # Whatever such managers raise, the storage is not touched any further.
    with _errors_of_others(f"storage of runner {runner_name!r} was not found"):
        path = Path(storage_manager.get(runner_name).path)
    archive_directory(path, runner_name, quarantine_path)
    with _errors_of_others(
        f"storage of runner {runner_name!r} is archived below {quarantine_path}, but was not deleted"
    ):
        storage_manager.delete(runner_name)


@contextmanager
def _errors_of_others(subject: str) -> Iterator[None]:
    """Turn whatever a manager of somebody else raises into the error that is promised."""
    try:
        yield
    except QuarantineMetricsStorageError:
        raise
    except Exception as exc:
        raise QuarantineMetricsStorageError(f"{subject}: {exc or type(exc).__name__}") from exc


def _own_method(storage_manager: StorageManager) -> QuarantineMethod | None:
    """The manager's own way to quarantine; a module's function of that name is one for other managers, like ours."""
    method = getattr(storage_manager, "move_to_quarantine", None)
    return method if callable(method) and not isinstance(storage_manager, ModuleType) else None


def _manager(
    base_path: _PathLike, quarantine_path: _PathLike = None, owner: str | None = None
) -> FilesystemStorageManager:
    return FilesystemStorageManager(
        _path(base_path, "BASE_PATH"),
        _path(quarantine_path, "QUARANTINE_PATH"),
        owner or os.environ.get("METRICS_STORAGE_OWNER") or FILESYSTEM_OWNER,
    )


def _path(given: _PathLike, variable: str) -> Path:
    if given:
        return directory_path(given, variable.lower())
    name = f"METRICS_STORAGE_{variable}"
    path = os.environ.get(name) or {"BASE_PATH": _BASE_PATH, "QUARANTINE_PATH": _QUARANTINE_PATH}[variable]
    if not path.startswith(("/", "~")):
        raise SettingsError(f"{name} {path!r} is not an absolute path, expected one such as {_BASE_PATH}")
    return directory_path(path, name)
