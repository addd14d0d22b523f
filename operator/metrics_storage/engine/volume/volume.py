"""A volume of ours: its marker, its private directory, the lock on it. What lies in them is other modules'.

An unmounted volume looks like an empty directory, so nothing is ever concluded from what a volume does not
hold before `Volume.check` has seen the marker with the id that was there at the start.
"""

import contextlib
import json
import os
import threading
import uuid
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from metrics_storage.engine.fs import durable, inode_flags
from metrics_storage.engine.fs.syscalls import require_openat2, sync_filesystem
from metrics_storage.engine.volume.lock import take_lock
from metrics_storage.engine.volume.probe import missing_abilities
from metrics_storage.engine.volume.root import PRIVATE, UNFINISHED, content_of, named
from metrics_storage.errors import VolumeError, VolumeLostError
from metrics_storage.timestamps import utc_now

_MARKER: Final = "volume.json"
_PARTNER: Final = "partner"
_FORMAT: Final = 1


class Role(StrEnum):
    """What a volume is for; its value is part of the marker, so that two volumes cannot be swapped."""

    STORAGE = "storage"
    QUARANTINE = "quarantine"


_DIRECTORIES: Final = {
    Role.STORAGE: ("journal", "spares", "frozen", "trash", "released"),
    Role.QUARANTINE: ("incoming",),
}


def has_marker(path: Path) -> bool:
    """Whether a directory says of itself that it is a volume; `Volume` says whether it is a sound one."""
    return os.access(path / PRIVATE / _MARKER, os.F_OK, follow_symlinks=False)


class Volume:
    """An opened volume. `fd` and `private_fd` are its root and its private directory."""

    def __init__(
        self, path: Path, role: Role, *, initialise: bool, writable: bool = True, beside_content: bool = False
    ) -> None:
        """Open the volume at `path`.

        Args:
            path: its mount point or directory.
            role: what it is for.
            initialise: whether an empty directory may become a volume; False where data is known to exist,
                because then an empty directory is a volume that is not mounted.
            writable: whether it must be; otherwise nothing is written, and it may be mounted read-only.
            beside_content: whether a directory that is not empty may become a volume, too, by a person's word.

        Raises:
            VolumeError: no directory, read-only, not writable, of another role, or without marker.
        """
        self.path = path
        self.role = role
        self._writable = writable
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise VolumeError(f"{role} volume {path}: {exc.strerror}; expected a mounted directory") from exc
        try:
            require_openat2(self.fd)
            self.private_fd, self.id = self._open_private(initialise, beside_content)
        except BaseException:
            os.close(self.fd)
            raise
        self._lock_fd: int | None = None
        self._reopening = threading.Lock()
        self._inode = _inode(os.fstat(self.fd))
        self._syncs_required, self._syncs_done = 1, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock and all descriptors."""
        for fd in (self._lock_fd, self.private_fd, self.fd):
            if fd is not None:
                os.close(fd)

    def require_sync(self) -> None:
        """What was written last may be in the page cache alone: its writer died or was told of an error."""
        self._syncs_required += 1

    def check(self) -> None:
        """See that the volume is still the one that was opened, at its path, writable, and durable as it is seen.

        The same volume, mounted there again under another device number, is opened anew.

        Raises:
            VolumeError: unmounted, swapped, remounted read-only, or its marker is missing or another's.
        """
        self.require_present()
        self._check_writable()
        if (required := self._syncs_required) > self._syncs_done:
            sync_filesystem(self.fd)
            self._syncs_done = max(self._syncs_done, required)  # Without those that other threads had meanwhile.

    def require_present(self) -> None:
        """See that the volume is still at its path, as the first part of `check`.

        Raises:
            VolumeLostError: something else is there, or nothing can be read from it.
            VolumeLockedError: it is mounted anew, and somebody else works on it by now.
        """
        try:
            if _inode(os.stat(self.path)) != self._inode:
                self._reopen()
            found = self._read_marker(self.private_fd)
        except OSError as exc:
            raise VolumeLostError(f"{self.role} volume {self.path}: {exc.strerror}") from exc
        self._require_id(found)

    def _require_id(self, found: str) -> None:
        if found != self.id:
            raise VolumeLostError(
                f"{self.role} volume {self.path} has id {found}, expected {self.id}: was it swapped? "
                "Mount the right one; nothing is done until then."
            )

    def _reopen(self) -> None:
        """Go over to the same volume as it is mounted now; whoever has its descriptors has the new ones at once."""
        with self._reopening, contextlib.ExitStack() as stack:
            if _inode(os.stat(self.path)) == self._inode:
                return  # Another thread was faster.
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, fd)
            try:
                private_fd = stack.enter_context(durable.opened_directory(PRIVATE, fd))
                self._require_id(self._read_marker(private_fd))
            except FileNotFoundError as exc:
                raise VolumeLostError(
                    f"{self.role} volume {self.path} is not the one that was opened: "
                    "was it unmounted? Mount it again; nothing is done until then."
                ) from exc
            moves = {fd: self.fd, private_fd: self.private_fd}
            if self._lock_fd is not None:
                lock_fd = take_lock(private_fd, self._described)
                stack.callback(os.close, lock_fd)
                moves[lock_fd] = self._lock_fd
            for new, known in moves.items():
                os.dup2(new, known, inheritable=False)
            self._inode = _inode(os.fstat(self.fd))
            self.require_sync()  # What was written last may not have reached it.

    @property
    def _described(self) -> str:
        return f"{self.role} volume {self.path}"

    @property
    def partner(self) -> str | None:
        """Id of the volume that this one belongs with, None as long as it belongs with none."""
        try:
            return durable.read_file(_PARTNER, self.private_fd).decode()
        except FileNotFoundError:
            return None

    def remember(self, partner: "Volume") -> None:
        """Belong with another volume from now on."""
        if self.partner != partner.id:
            durable.write_file(_PARTNER, partner.id.encode(), self.private_fd)

    def lock(self) -> None:
        """Become the only one who works on this volume, until `close` or the end of the process.

        Raises:
            VolumeLockedError: somebody else is; the message says who.
        """
        self._lock_fd = take_lock(self.private_fd, self._described)
        self.require_sync()  # Whatever a predecessor did until now.

    def probe(self) -> None:
        """See that the file system can do everything that is relied upon; the volume must not be used meanwhile.

        Raises:
            VolumeError: it cannot; the message says what is missing, and what would follow.
        """
        try:
            self._require_abilities(self.private_fd)
        except OSError as exc:
            raise VolumeError(f"{self.role} volume {self.path}: {exc.strerror}") from exc

    def _require_abilities(self, dir_fd: int) -> None:
        if missing := missing_abilities(dir_fd):
            raise VolumeError(
                f"{self.role} volume {self.path} cannot be used, its file system lacks {'; '.join(missing)}: use one "
                "that has it, such as ext4, XFS, btrfs or NFS 4"
            )

    def _open_private(self, initialise: bool, beside_content: bool) -> tuple[int, str]:
        self._check_writable()
        try:
            if initialise and not has_marker(self.path) and (beside_content or not content_of(self.fd)):
                self._initialise()
            with durable.opened_directory(PRIVATE, self.fd) as fd:
                if self._writable:
                    self._prepare(fd)
                return os.dup(fd), self._read_marker(fd)
        except FileNotFoundError as exc:
            raise VolumeError(
                f"{self.role} volume {self.path} has no marker {PRIVATE}/{_MARKER}: {self._hint()}"
            ) from exc
        except PermissionError as exc:
            raise VolumeError(
                f"{self.role} volume {self.path} cannot be read by user {os.geteuid()}: {exc.strerror}; run as root or "
                f"as user {os.fstat(self.fd).st_uid}, whose it is"
            ) from exc
        except OSError as exc:
            raise VolumeError(f"{self.role} volume {self.path}: {exc.strerror}") from exc

    def _hint(self) -> str:
        """What may be the matter with a directory without marker."""
        if not (content := content_of(self.fd)):
            return (
                "is it mounted? (An empty directory is made a new volume only while nothing refers to an older one; "
                f"otherwise say that it is new: metrics-storage init-volume {self.role} {self.path})"
            )
        return (
            f"it holds {named(content)}, and only an empty directory is made a new volume. Is it the right one? If "
            f"these may stay beside it: metrics-storage init-volume {self.role} {self.path} --beside-content"
        )

    def _prepare(self, private_fd: int) -> None:
        """Have everything in the private directory that is needed, also where an older version made it."""
        inode_flags.stop_handing_down(private_fd)
        for name in _DIRECTORIES[self.role]:
            durable.make_directory(name, private_fd, 0o700, like=private_fd)
            with durable.opened_directory(name, private_fd) as directory:
                inode_flags.stop_handing_down(directory)

    def _initialise(self) -> None:
        # A name of its own for every attempt: what another process is writing, or left unfinished, is not touched.
        identifier = str(uuid.uuid4())
        unfinished = UNFINISHED + identifier
        durable.make_directory(unfinished, self.fd, 0o700)
        try:
            with durable.opened_directory(unfinished, self.fd) as fd:
                self._require_abilities(fd)
                marker = {
                    "format": _FORMAT,
                    "role": self.role,
                    "id": identifier,
                    "createdAt": utc_now(),
                }
                durable.write_file(_MARKER, json.dumps(marker, indent=2).encode() + b"\n", fd)
        except VolumeError:
            os.rmdir(unfinished, dir_fd=self.fd)
            raise
        with contextlib.suppress(FileExistsError):  # Another process was faster; its marker counts.
            durable.move(unfinished, self.fd, PRIVATE, self.fd)

    def _read_marker(self, private_fd: int) -> str:
        try:
            marker = json.loads(durable.read_file(_MARKER, private_fd))
            role, identifier = marker["role"], marker["id"]
        except (ValueError, KeyError, TypeError) as exc:
            raise VolumeError(f"{self.role} volume {self.path}: {PRIVATE}/{_MARKER} is unreadable") from exc
        if role != self.role or marker.get("format") != _FORMAT:
            raise VolumeError(
                f"{self.path} is a {role} volume of format {marker.get('format')}, "
                f"expected a {self.role} volume of format {_FORMAT}"
            )
        return str(identifier)

    def _check_writable(self) -> None:
        if not self._writable:
            return
        if os.fstatvfs(self.fd).f_flag & os.ST_RDONLY:
            raise VolumeError(f"{self.role} volume {self.path} is mounted read-only; mount it writable")
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise VolumeError(f"{self.role} volume {self.path} is not writable for user {os.geteuid()}")


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
