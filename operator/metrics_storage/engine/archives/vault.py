"""What an archiver asks of a quarantine volume, on this machine or on another one."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from metrics_storage.engine.fs.walk import Progress
from metrics_storage.model.identity import Identity


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the directories come from that a vault archives, for whoever reads a manifest years later."""

    cluster: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Digests:
    """Hexadecimal SHA-256 of an archive and of its manifest, as both were read from the vault's disk."""

    archive: str
    manifest: str


class Draft(Protocol):
    """A new archive and its manifest until they are committed; nobody's evidence before.

    `attempt` and `origin` are the vault's word, for the header of the manifest.
    """

    attempt: int
    origin: Origin
    archive_fd: int
    manifest_fd: int
    """Descriptors to write to, of files or sockets."""

    def verify(self, progress: Progress | None) -> Digests:
        """Have what was written on disk, and read it back from there; nothing can be written afterwards.

        Raises:
            ArchiveCorruptError: it is no archive, or that of another directory or attempt.
        """

    def reading_manifest(self) -> AbstractContextManager[int]:
        """Descriptor to read the manifest from that was verified."""

    def commit(self) -> None:
        """Give what was verified its final name, over nothing that is there; on return the disk has it.

        Raises:
            ArchiveError: it was not verified.
            FileExistsError: something has that name.
        """


class Vault(Protocol):
    """A quarantine volume. All methods may take long, and are called by threads.

    Raises, from every method:
        VolumeFullError: it has no room, or not enough for what is to come.
        VolumeError: it is not what it must be.
        NodeUnavailableError: it is on another machine, and cannot be reached.
        OSError: what the kernel said of it.
    """

    def recover(self, identity: Identity) -> int:
        """Throw away what an earlier attempt has left unfinished; returns the latest one that anything is there of."""

    def draft(self, identity: Identity, room: int) -> AbstractContextManager[Draft]:
        """Begin the next attempt, which may need `room` bytes; what is not committed at the end is thrown away."""

    def reading(self, identity: Identity, attempt: int) -> AbstractContextManager[tuple[int, int]]:
        """Descriptors of a committed archive and its manifest, each to be read once from the beginning.

        Raises:
            FileNotFoundError: one of both is not there.
        """

    def digests(self, identity: Identity, attempt: int, progress: Progress | None) -> Digests:
        """What a committed archive and its manifest are, both read from disk now.

        Raises:
            ArchiveCorruptError: one of both is not there, or cannot be read.
        """
