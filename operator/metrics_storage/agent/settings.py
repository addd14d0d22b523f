"""What `metrics-storage agent` can be told, as one frozen value."""

from dataclasses import dataclass
from pathlib import Path

from metrics_storage.logs import LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Settings of an agent; the command line's help says what each is for."""

    storage_root: Path
    controller: tuple[str, int]
    token_file: Path = Path("/var/run/secrets/metrics-storage/token")
    ca_file: Path = Path("/etc/metrics-storage/ca.crt")
    workers: int = 8
    archive_workers: int = 1
    health_address: tuple[str, int] = ("0.0.0.0", 8080)  # noqa: S104 - the kubelet probes from outside.
    log_format: LogFormat = LogFormat.PLAIN
