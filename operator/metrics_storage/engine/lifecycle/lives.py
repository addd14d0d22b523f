"""What is known of the lives of a storage volume: the journal, and where the directories stand."""

from dataclasses import replace

from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.directories import Directories, Place
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import DirectoryVanishedError, JournalError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Record


class Lives:
    """Journal, directories and declarations of one storage volume."""

    def __init__(self, storage: Volume, *, adopting: bool) -> None:
        self.storage = storage
        self.journal = Journal(storage)
        self.directories = Directories(storage, adopting=adopting)
        self.declarations = Declarations(storage)

    def find(self, uid: Uid) -> Record | None:
        """The entry of a uid, read from the volume that was opened; None without one."""
        self.storage.check()
        return self.journal.read(uid)

    def known(self, identity: Identity) -> Record:
        """The entry of one that must have one.

        Raises:
            JournalError: there is none.
        """
        record = self.find(identity.uid)
        if record is None:
            raise JournalError(f"the journal has no entry for {identity}")
        return record

    def locate(self, record: Record) -> tuple[Record, Place | None]:
        """Where the directory of a record stands; a copy of it is taken into the journal first."""
        located = self.directories.locate(record)
        if located is None:
            return record, None
        if record.inode not in (None, located.inode):
            record = self.journal.write(replace(record, inode=located.inode))
        return record, located.place

    def vanished(self, identity: Identity, inode: int | None = None) -> DirectoryVanishedError:
        """The error of a directory that is nowhere, and what a person can do."""
        number = f" (inode {inode})" if inode is not None else ""
        return DirectoryVanishedError(
            f"the directory of {identity}{number} is not on storage volume {self.storage.path} any "
            f"more. Put it back as {identity.relative_path} if it was moved; if it is lost, "
            f"say so where the operator runs: metrics-storage accept-loss {identity.uid}"
        )
