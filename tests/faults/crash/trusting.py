"""Believing a manifest without reading its archive: what a mutant does in place of verification."""

import json
import os
from hashlib import sha256

from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.verify import VerifiedArchive


def trust(archive_fd: int, manifest_fd: int) -> VerifiedArchive:
    """What verification would say if everything were as the manifest claims."""
    size = os.fstat(manifest_fd).st_size
    data = os.pread(manifest_fd, size, 0)
    header, trailer = (json.loads(line) for line in (data.splitlines()[0], data.splitlines()[-1]))
    return VerifiedArchive(
        header=Header(**{name: header[name] for name in Header.__slots__}),
        entries=trailer["entries"],
        files=trailer["entries"] - trailer["types"].get("directory", 0),
        payload_bytes=trailer["payload_bytes"],
        archive_bytes=os.fstat(archive_fd).st_size,
        archive_sha256=trailer["archive_sha256"],
        manifest_sha256=sha256(data).hexdigest(),
        clean=trailer["clean"],
    )
