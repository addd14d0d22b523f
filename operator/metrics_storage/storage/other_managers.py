"""Archives for storage managers that have none of their own: the same writer, the same verification.

Nothing is known of such a manager but its four functions, so its directory is read where it is, and removing it
is left to the manager, once the archive is verified.
"""

import os
import socket
from pathlib import Path

from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.volume.volume import Role
from metrics_storage.errors import ArchiveError, UncleanArchiveError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Quarantine, Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage.local_volumes import initialised_volume
from metrics_storage.storage.paths import check_apart, make_directories
from metrics_storage.storage.protocol import REASON
from metrics_storage.storage.records import NAMESPACE
from metrics_storage.timestamps import utc_now


def archive_directory(path: Path, runner_name: str, quarantine_path: Path) -> None:
    """Archive a directory below `quarantine_path` under a name never used before, and verify the archive.

    On return the directory stands at `path` as it was archived. Every call makes an archive of its own, also
    one that fails because the directory changed: that one is marked as incomplete in its manifest.

    Raises:
        InvalidSpecError: the name is not an RFC 1123 subdomain, of which names on the quarantine volume are made.
        UncleanArchiveError: the directory changed, or was partly unreadable.
        SettingsError: the quarantine path lies in the directory, or the directory in it.
        VolumeError, ArchiveError: it could not be archived.
        OSError: there is no directory at `path`, or a link.
    """
    check_apart(path, quarantine_path, "storage")
    identity = Identity(NAMESPACE, runner_name, Uid.new())
    requested_at = utc_now()
    request = Quarantine(reason=REASON, requested_at=requested_at)
    record = Record(identity=identity, spec=StorageSpec(), phase=Phase.FROZEN, quarantine=request)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        make_directories(quarantine_path, 0o700)
        with initialised_volume(quarantine_path, Role.QUARANTINE) as volume:
            archive = Archiver(LocalVault(volume, Origin(node=socket.gethostname()))).commit(fd, record).archive
        if not archive.clean:
            raise UncleanArchiveError(
                f"{path} changed or was partly unreadable while it was archived: {quarantine_path}/{archive.path} is "
                "incomplete. Both are kept; try again when nobody writes to it."
            )
        if not os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False)):
            raise ArchiveError(f"{path} is not the directory any more that was archived: it is kept")
    finally:
        os.close(fd)
