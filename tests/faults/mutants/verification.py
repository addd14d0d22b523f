"""Engines that believe something of an archive or of its source without having looked."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, Final

from metrics_storage.engine.archives import archiver, local_vault, unfinished
from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.archives.format import losses, payload, tarformat, verify, writer, xattrs
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.format.streams import GzipReader
from metrics_storage.engine.archives.format.summary import read_summary
from metrics_storage.engine.archives.format.tarformat import BLOCK
from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.format.writer import ArchiveSummary
from metrics_storage.engine.archives.local_vault import LocalDraft, LocalVault
from metrics_storage.engine.archives.vault import Draft
from metrics_storage.engine.fs import long_attributes, subvolumes
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.lifecycle.quarantines import Quarantines
from metrics_storage.errors import UncleanArchiveError
from metrics_storage.model.identity import MANIFEST_SUFFIX, Identity
from metrics_storage.model.record import Archive
from tests.faults.change import Change, agreeing, in_place_of, left_out, says, then
from tests.faults.crash.trusting import trust
from tests.faults.mutants.mutant import UNIT, Mutant, mutant


def _trust_manifest(archive_fd: int, manifest_fd: int, *, progress: Progress | None) -> VerifiedArchive:
    del progress
    return trust(archive_fd, manifest_fd)


def _as_whatever_is_there(_real: object, draft: Draft, _written: ArchiveSummary, progress: Progress | None) -> None:
    draft.verify(progress)


def _unchanged_if_clean(real: Any, source_fd: int, manifest_fd: int, progress: Progress | None) -> None:
    if read_summary(manifest_fd)[1].clean:
        real(source_fd, manifest_fd, progress)


def _verified_without_source(
    real: Any, archives: Archiver, identity: Identity, attempt: int, _source_fd: int | None, progress: Any
) -> object:
    return real(archives, identity, attempt, None, progress)


def _never_showing(real: Any, *args: Any) -> None:
    if real(*args):
        raise UncleanArchiveError("what the first archive lacks")


def _anything_accepted(summary: ArchiveSummary) -> ArchiveSummary:
    return replace(summary, losses=agreeing(summary.losses)) if summary.losses else summary


def _digest_of_archives(real: Callable[..., str], file: str, *args: Any) -> str:
    digest = real(file, *args)
    return agreeing(digest) if file.endswith(MANIFEST_SUFFIX) else digest


def _payload_unverified(real: Any, archive: GzipReader, entry: Entry) -> Iterator[tuple[int, bytes]]:
    try:
        yield from real(archive, entry)
    except ValueError:
        archive.read(-entry.payload % BLOCK)


def _clean(archive: Archive | None) -> Archive | None:
    return archive and replace(archive, clean=True)


VERIFICATION: Final[dict[str, Mutant]] = {
    "archive is not read back": mutant(
        in_place_of(verify.verify_archive, _trust_manifest, LocalDraft.verify),
        "archive rots while it is written",
    ),
    "digests written and read are not compared": mutant(
        Change(archiver._require_as_written, _as_whatever_is_there, Archiver._write),
        UNIT + "test_archiver.py::"
        "test_a_disk_that_gives_back_another_file_than_was_written_is_not_trusted",
    ),
    "source is not read again": mutant(
        left_out(archiver._require_unchanged, Archiver._write), "source is written to after it was archived"
    ),
    "taken commit is not compared with its source": mutant(
        Change(Archiver._verified, _verified_without_source, Archiver._take),
        "source is written to between a commit and its record",
    ),
    "what nobody accepted counts as accepted": mutant(
        then(writer.write_archive, _anything_accepted, Archiver._write),
        UNIT + "test_losses.py::test_what_was_not_accepted_keeps_the_source_and_is_shown_once",
    ),
    "what a first archive lacks is never shown after a death": mutant(
        Change(Archiver._left_behind, _never_showing, Archiver._write), "accepted loss deaths"
    ),
    "a loss that grew counts as accepted": mutant(
        Change(losses._line_of, lambda real, entry: real(replace(entry, blocks_sha256=None))),
        UNIT + "test_losses.py::test_a_loss_that_grew_after_it_was_accepted_keeps_the_source",
    ),
    "source with accepted losses is not read again": mutant(
        Change(archiver._require_unchanged, _unchanged_if_clean, Archiver._write),
        UNIT + "test_losses.py::"
        "test_a_source_that_changes_meanwhile_is_kept_though_its_losses_are_accepted",
    ),
    "an attribute that cannot be read counts as removed": mutant(
        Change(xattrs._is_gone, lambda _real, _where, _name, refusal: refusal.errno == errno.ENODATA),
        UNIT + "test_archive_attributes.py::"
        "test_an_attribute_that_cannot_be_read_is_named_and_the_others_are_kept",
    ),
    "attributes end where the kernel's list does": mutant(
        says(long_attributes.list_long, []),
        UNIT + "test_long_attributes.py::test_such_a_source_is_archived_whole",
    ),
    "the time of a place where a subvolume was is compared": mutant(
        says(subvolumes.is_stub, False),
        UNIT + "test_subvolumes.py::test_where_another_subvolume_was_has_no_time_that_could_change",
    ),
    "read-only subvolumes stay so": mutant(
        left_out(subvolumes.make_writable),
        UNIT + "test_subvolumes.py::test_what_is_in_subvolumes_is_in_the_archive_and_then_gone",
    ),
    "unclean archive is taken for a clean one": mutant(
        then(Archiver.commit, lambda committed: replace(committed, accepted=True), Quarantines.archive),
        "source is written to while it is archived",
    ),
    "unclean commit is taken": mutant(
        then(Archiver._verified, _clean, Archiver._take),
        UNIT + "test_archiver.py::"
        "test_a_provisional_commit_that_was_not_recorded_never_counts_as_the_final_one",
    ),
    "archive's digest is not checked before its source is condemned": mutant(
        left_out(Archiver.check, StorageEngine._condemn), "archive rots before its source is condemned"
    ),
    "digests differ without consequence": mutant(
        then(local_vault._digest, agreeing, LocalVault.digests), "archive rots before its source is condemned"
    ),
    "manifest's digest is not checked before its source is condemned": mutant(
        Change(local_vault._digest, _digest_of_archives, LocalVault.digests),
        "manifest rots before its source is condemned",
    ),
    "content of members is not verified": mutant(
        Change(payload.read_payload, _payload_unverified), "archives are forged"
    ),
    "fields of members are not verified": mutant(says(fields, (), verify._verify_member), "archives are forged"),
    "members after the last are not seen": mutant(
        then(tarformat.decode, lambda _: None, verify.verify_archive), "archives are forged"
    ),
    "bytes after the archive are not seen": mutant(
        left_out(GzipReader.finish, verify.verify_archive), "archives are forged"
    ),
    "digest of the archive is not verified": mutant(
        then(
            ManifestReader.trailer,
            lambda trailer: replace(trailer, archive_sha256=agreeing(trailer.archive_sha256)),
            verify.verify_archive,
        ),
        "archives are forged",
    ),
    "size of the archive is not verified": mutant(
        then(
            ManifestReader.trailer,
            lambda trailer: replace(trailer, archive_bytes=agreeing(trailer.archive_bytes)),
            verify.verify_archive,
        ),
        "archives are forged",
    ),
    "half archives are not discarded": mutant(left_out(unfinished.discard), "deaths"),
    "second name of a commit is kept": mutant(left_out(unfinished.discard, LocalVault.recover), "quarantine linking"),
}  # fmt: skip
