"""What a person declares as lost: a directory that vanished, or what cannot be read of one that is archived."""

from collections.abc import Callable

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.losses import Losses
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.store import ArchiveStore, Stored
from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import ArchiveCorruptError, DirectoryExistsError, JournalError, UnacceptableLossError
from metrics_storage.model.identity import Uid


def declare_vanished(storage: Volume, uid: Uid) -> None:
    """Declare the directory of a uid as lost.

    Raises:
        DirectoryExistsError: it is there, or something else is in its place.
        JournalError: its entry cannot be read.
    """
    record = Journal(storage).read(uid)
    if record and (place := Directories(storage).find(record)):
        raise DirectoryExistsError(f"the {place} directory of {record.identity} is there, so it is not lost")
    Declarations(storage).declare_lost(uid)


class UnreadableContent:
    """What cannot be read of a directory that waits for its archive, as its incomplete archive tells it."""

    def __init__(self, storage: Volume, store: ArchiveStore, uid: Uid) -> None:
        """Find the incomplete archive.

        Raises:
            JournalError: no quarantine of this uid waits for an archive, or it has no incomplete one yet.
        """
        record = Journal(storage).read(uid)
        if record is None or not record.must_be_archived or record.quarantine is None:
            raise JournalError(f"{uid} has no quarantine that waits for an archive on {storage.path}")
        if record.quarantine.provisional is None:
            raise JournalError(f"{record.identity} has no incomplete archive yet that could be looked at: wait for one")
        self.identity = record.identity
        self.archive = record.quarantine.provisional.path
        """Path of that archive, relative to the quarantine volume."""
        self._declarations = Declarations(storage)
        self._store = store

    def read(self, tell: Callable[[Entry], None]) -> Losses:
        """Read the manifest of that archive; `tell` gets each entry that cannot be read, or not whole.

        Raises:
            ArchiveCorruptError: the archive is not there any more, or damaged.
            UnacceptableLossError: nothing is lost, or nobody can say what.
        """
        losses = Losses()
        with self._store.reading_manifest(self._stored()) as manifest_fd:
            for entry in ManifestReader(manifest_fd):
                losses.add(entry)
                if entry.status == "unreadable":
                    tell(entry)
        if not losses.count:
            raise UnacceptableLossError(
                f"nothing: {self.archive} is incomplete for other reasons, see metrics-storage archives show "
                f"{self.archive}"
            )
        if losses.open_ended:
            raise UnacceptableLossError(
                "a directory cannot be listed to its end, so nobody can say what would be lost: see to the storage "
                f"volume, or keep what can be copied by hand; everything of {self.identity} is kept until then"
            )
        return losses

    def declare_lost(self, losses: Losses) -> None:
        """Declare exactly this as lost: the next archive counts if it lacks nothing else."""
        if losses.sha256 is not None:
            self._declarations.accept_losses(self.identity.uid, losses.sha256)

    def _stored(self) -> Stored:
        for stored in self._store.archives():
            if stored.path == self.archive:
                return stored
        raise ArchiveCorruptError(f"{self._store.path}/{self.archive} is missing: bring it back from a copy")
