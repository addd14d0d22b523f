"""Journal entries in the phases of a life, as values for tests."""

from dataclasses import replace

from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Archive, Phase, Quarantine, Record
from metrics_storage.model.spec import StorageSpec

IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
RECORD = Record(identity=IDENTITY, spec=StorageSpec(), phase=Phase.PROVISIONED, inode=7)
ARCHIVE = Archive(
    path="runners/a.tar.gz",
    sha256="ab",
    manifest_sha256="cd",
    size_bytes=9,
    payload_bytes=5,
    files=1,
    clean=True,
    completed_at="t1",
)
LATCHED = replace(RECORD, quarantine=Quarantine(reason="bad", requested_at="t0"))
DONE = replace(RECORD, phase=Phase.GONE, quarantine=Quarantine(reason="bad", requested_at="t0", archive=ARCHIVE))
