"""A controller and its agents as processes of their own, on directories beside each other."""

from dataclasses import dataclass, field
from pathlib import Path

from tools.installation.process import OperatorProcess, free_port


@dataclass
class ControllerProcess(OperatorProcess):
    """`metrics-storage run --agents`, with the rights of the shipped service account."""

    agents_port: int = field(default_factory=free_port)
    agents_directory: Path = Path("/var/lib/metrics-storage")

    def _arguments(self) -> tuple[str, ...]:
        self.quarantine_root.mkdir(parents=True, exist_ok=True)
        return (
            "run",
            "--agents",
            f"--quarantine-root={self.quarantine_root}",
            f"--agents-address=127.0.0.1:{self.agents_port}",
            f"--agents-directory={self.agents_directory}",
            "--operator-namespace=metrics-storage",
        )


@dataclass
class AgentProcess(OperatorProcess):
    """`metrics-storage agent`, without any rights; its token and the controller's certificate are files beside it."""

    flags: tuple[str, ...] = ()
    controller_port: int = 0

    @property
    def token_file(self) -> Path:
        """Where its token is."""
        return self.directory / "token"

    @property
    def ca_file(self) -> Path:
        """Where the controller's certificate is."""
        return self.directory / "ca.crt"

    def _arguments(self) -> tuple[str, ...]:
        self.storage_root.mkdir(parents=True, exist_ok=True)
        return (
            "agent",
            f"--storage-root={self.storage_root}",
            f"--controller=127.0.0.1:{self.controller_port}",
            f"--token-file={self.token_file}",
            f"--ca-file={self.ca_file}",
        )
