"""The key and the certificate that a controller shows its agents, kept on the quarantine volume."""

from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume

_FILE: Final = "controller.pem"


class CertificateFile:
    """One file with both, in PEM, that only the volume's owner may read."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def read(self) -> bytes | None:
        """What was written last, None where nothing was.

        Raises:
            OSError: it cannot be read.
        """
        self._volume.check()
        try:
            return durable.read_file(_FILE, self._volume.private_fd)
        except FileNotFoundError:
            return None

    def write(self, pem: bytes) -> None:
        """Replace it as a whole; durable when this returns."""
        self._volume.check()
        durable.write_file(_FILE, pem, self._volume.private_fd)
