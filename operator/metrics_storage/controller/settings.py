"""What `metrics-storage run` can be told, as one frozen value."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LogFormat(StrEnum):
    """How log lines look."""

    PLAIN = "plain"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the operator; the command line's help says what each is for.

    `sweep_interval` is in seconds. No `namespaces` means all of them. `node_name` is None where the storage
    volume is not tied to a node. `cluster` names the cluster in manifests.
    """

    storage_root: Path
    quarantine_root: Path
    volume_source: str
    node_name: str | None = None
    cluster: str = ""
    namespaces: tuple[str, ...] = ()
    workers: int = 8
    archive_workers: int = 1
    sweep_interval: float = 60.0
    health_address: tuple[str, int] = ("0.0.0.0", 8080)  # noqa: S104 - the kubelet probes from outside.
    log_format: LogFormat = LogFormat.PLAIN
