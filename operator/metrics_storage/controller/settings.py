"""What `metrics-storage run` can be told, as one frozen value."""

from dataclasses import dataclass
from pathlib import Path

from metrics_storage.logs import LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the operator; the command line's help says what each is for.

    Intervals are in seconds; a `scrub_interval` of 0 means never. `scrub_rate` is in bytes a second. No `namespaces`
    means all of them. `node_name` is None where the storage
    volume is not tied to a node. `cluster` names the cluster in manifests. In `operator_namespace` the ids of both
    volumes are remembered, nowhere where it is empty. With `agents` there is no storage volume here: it is at
    `agents_directory` of every node that runs an agent, and a `accept_loss_after` of 0 means never. Otherwise
    `storage_root` and `volume_source` are needed.
    """

    quarantine_root: Path
    storage_root: Path | None = None
    volume_source: str = ""
    agents: bool = False
    agents_address: tuple[str, int] = ("0.0.0.0", 8443)  # noqa: S104 - agents dial from their nodes.
    agents_directory: Path = Path("/var/lib/metrics-storage/storage")
    agents_service_account: str = "metrics-storage-agent"
    accept_loss_after: float = 0.0
    node_name: str | None = None
    cluster: str = ""
    operator_namespace: str = ""
    namespaces: tuple[str, ...] = ()
    workers: int = 8
    archive_workers: int = 1
    sweep_interval: float = 60.0
    scrub_interval: float = 7 * 86400.0
    scrub_rate: int = 16 * 1024 * 1024
    health_address: tuple[str, int] = ("0.0.0.0", 8080)  # noqa: S104 - the kubelet probes from outside.
    log_format: LogFormat = LogFormat.PLAIN
