"""What persons declared as lost, as small files on the storage volume. Whether they may is the business of `losses`."""

import contextlib
import os
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.model.identity import Uid

_DIRECTORY: Final = "released"
_LOSSES: Final = ".losses"


class Declarations:
    """The declarations of a storage volume, each about the directory of one uid."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def is_lost(self, uid: Uid) -> bool:
        """Whether the directory, which vanished, was declared as lost."""
        with self._opened() as fd:
            return os.access(uid, os.F_OK, dir_fd=fd, follow_symlinks=False)

    def declare_lost(self, uid: Uid) -> None:
        """Declare the directory, which vanished, as lost."""
        with self._opened() as fd:
            durable.write_file(uid, b"", fd)

    def accepted_losses(self, uid: Uid) -> str | None:
        """Digest of what was accepted as lost in the directory, None without such a word."""
        with self._opened() as fd:
            try:
                return durable.read_file(uid + _LOSSES, fd).decode(errors="replace")
            except FileNotFoundError:
                return None

    def accept_losses(self, uid: Uid, digest: str) -> None:
        """Accept what cannot be read of the directory as lost; `digest` is of `Losses`."""
        with self._opened() as fd:
            durable.write_file(uid + _LOSSES, digest.encode(), fd)

    def drop(self, uid: Uid) -> None:
        """Forget all that was declared about the directory."""
        with self._opened() as fd:
            for name in (uid, uid + _LOSSES):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)

    def _opened(self) -> contextlib.AbstractContextManager[int]:
        return durable.opened_directory(_DIRECTORY, self._volume.private_fd)
