"""Engines that are broken on purpose, each in one place: what each fsync, check and order of steps is there for.

A mutant is a change of source text in one function, applied when the driver imports the engine (`mutation`). Only
data: imports nothing of the engine. `by` names the trials (see `trials`) that are known to notice it, the quickest
first. Where something else behind a step keeps the promises too, that is a unit test of the step itself.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """Replace `old`, which must stand exactly once in the function, by `new`."""

    module: str
    function: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken engine; at most one change in each module."""

    name: str
    changes: tuple[Change, ...]
    by: tuple[str, ...]


_ENGINE: Final = "metrics_storage.engine."
_UNIT: Final = "tests/unit/engine/"


def _mutant(name: str, where: str, old: str, new: str, *by: str) -> Mutant:
    module, _, function = where.rpartition(".")
    return Mutant(name, (Change(_ENGINE + module, function, old, new),), by)


_FLUSHES: Final = (
    _mutant("no fsync of a made directory's parent", "fs.durable.make_directory", "os.fsync(dir_fd)", "pass", "life"),
    _mutant("no fsync of a small file", "fs.durable.write_file", "os.fsync(fd)", "pass", "life"),
    _mutant("no fsync of a small file's directory", "fs.durable.write_file", "os.fsync(dir_fd)", "pass", "life"),
    _mutant("no fsync of where a move goes", "fs.durable.move", "os.fsync(to_dir_fd)", "pass", "life"),
    _mutant("no fsync of where a move comes from", "fs.durable.move", "os.fsync(dir_fd)", "pass", "life"),
    _mutant("no fsync of a set owner", "lifecycle.directories._set_ownership", "os.fsync(fd)", "pass", "life"),
    _mutant("no fsync of the trash", "lifecycle.directories.remove_from_trash", "os.fsync(fd)", "pass", "life"),
    _mutant("no fsync of a forgotten entry", "volume.journal.remove", "os.fsync(fd)", "pass", "life"),
    _mutant("no fsync of an archive", "archives.format.writer.write_archive", "os.fsync(archive_fd)", "pass", "life"),
    _mutant("no fsync of a manifest", "archives.format.writer.write_archive", "os.fsync(manifest_fd)", "pass", "life"),
    _mutant("no fsync of a spare", "fs.durable.overwrite_spare", "os.fsync(fd)", "pass", "quarantine full"),
    _mutant("no fsync after a spare", "fs.durable.overwrite_spare", "os.fsync(dir_fd)", "pass", "quarantine full"),
    _mutant("a required sync is not done", "volume.volume.check",
            "if (required := self._syncs_required) > self._syncs_done:",
            "if False:",
            "deaths"),
    _mutant("no sync at the start", "volume.volume.__init__", "_syncs_required, self._syncs_done = 1",
            "_syncs_required, self._syncs_done = 0",
            "deaths"),
    _mutant("no sync after the lock", "volume.volume.lock", "self.require_sync()", "pass",
            _UNIT + "test_volume.py::"
            "test_what_a_predecessor_wrote_is_flushed_after_the_lock_and_before_any_decision"),
    _mutant("no sync after an error", "lifecycle.engine.step_or_sync", "self.storage.require_sync()", "pass", "errors"),
    _mutant("no sync after an error while archiving", "archives.archiver._errors",
            "self._volume.require_sync()", "pass", "errors"),
)  # fmt: skip
_RENAMES: Final = (
    _mutant(
        "plain rename", "fs.durable._rename",
        "rename_noreplace(dir_fd, os.fsencode(name), to_dir_fd, os.fsencode(to_name))",
        "os.rename(name, to_name, src_dir_fd=dir_fd, dst_dir_fd=to_dir_fd)",
        "archive of that name appears",
    ),
    _mutant("a volume that lacks what is relied upon is used", "volume.volume._require_abilities",
            "if missing := missing_abilities(dir_fd):", "if missing := missing_abilities(dir_fd) and []:",
            _UNIT + "test_probe.py::test_a_new_volume_is_refused_and_stays_empty"),
    _mutant("directories of ours take in their own project only", "volume.volume._prepare",
            "inode_flags.stop_handing_down(directory)", "pass",
            _UNIT + "test_moves.py::test_volumes_that_were_made_before_their_root_had_a_project_are_mended"),
    _mutant("nothing takes over a project", "fs.durable.move", "inode_flags.take_over_project(name, dir_fd, to_dir_fd)",
            "pass",
            _UNIT + "test_moves.py::"
            "test_what_comes_back_from_the_trash_takes_over_the_project_of_where_it_lived"),
    _mutant("replacing rename", "fs.syscalls.rename_noreplace", "_RENAME_NOREPLACE)", "0)",
            "archive of that name appears"),
    _mutant("small files written in place", "fs.durable.write_file", 'temporary = f".{name}.tmp"', "temporary = name",
            "deaths"),
    _mutant("archive committed before its manifest", "archives.archiver._write",
            "durable.move(aside[1], incoming, names[1], namespace)",
            "durable.move(aside[0], incoming, names[0], namespace); names, aside = names[::-1], aside[::-1]",
            "deaths"),
    _mutant("journal says Frozen before the move", "lifecycle.quarantines._freeze",
            "self._directories.move(record.identity, place, Place.FROZEN)",
            "self._journal.write(record.at(Phase.FROZEN)); "
            "self._directories.move(record.identity, place, Place.FROZEN)",
            "deaths"),
    _mutant("journal says Condemned before the move", "lifecycle.engine._condemn",
            "self._directories.move(record.identity, place, Place.TRASH)",
            "self._journal.write(record.at(Phase.CONDEMNED)); "
            "self._directories.move(record.identity, place, Place.TRASH)",
            "deaths"),
    _mutant("journal says Gone before the removal", "lifecycle.engine.remove",
            "self._directories.remove_from_trash(record, progress)",
            "self._journal.write(record.at(Phase.GONE)); self._directories.remove_from_trash(record, progress)",
            "deaths"),
    _mutant("removed where it stands", "lifecycle.engine._condemn",
            "self._directories.move(record.identity, place, Place.TRASH)",
            "__import__('shutil').rmtree(self.storage.path / record.identity.namespace / record.identity.directory_name"
            " if place is Place.LIVE else self.storage.path / '.metrics-storage' / place / record.identity.uid)",
            "life"),
)  # fmt: skip
_VERIFICATION: Final = (
    _mutant("archive is not read back", "archives.archiver._verify",
            "verified = verify_archive(archive_fd, manifest_fd, progress=progress)",
            "verified = __import__('tests.faults.crash.trusting').faults.crash.trusting.trust(archive_fd, manifest_fd)",
            "archive rots while it is written"),
    _mutant("digests written and read are not compared", "archives.archiver._verify",
            "if written and (written", "if False and (written",
            _UNIT + "test_archiver.py::"
            "test_a_disk_that_gives_back_another_file_than_was_written_is_not_trusted"),
    _mutant("source is not read again", "archives.archiver._verify", "if differences:", "if False:",
            "source is written to after it was archived"),
    _mutant("taken commit is not compared with its source", "archives.archiver._take",
            "self._verified(record.identity, attempt, source_fd,", "self._verified(record.identity, attempt, None,",
            "source is written to between a commit and its record"),
    _mutant("what nobody accepted counts as accepted", "archives.archiver._write",
            "accepted = losses is not None and summary.losses == losses", "accepted = losses is not None",
            _UNIT + "test_losses.py::test_what_was_not_accepted_keeps_the_source_and_is_shown_once"),
    _mutant("what a first archive lacks is never shown after a death", "archives.archiver._write",
            "return Committed(earlier, attempt - 1, summary.problems)",
            'raise UncleanArchiveError("; ".join(summary.problems))', "accepted loss deaths"),
    _mutant("a loss that grew counts as accepted", "archives.format.losses._line_of", '("payload", "sparse", "sha256")',
            '("payload", "sparse", "sha256", "blocks_sha256")',
            _UNIT + "test_losses.py::test_a_loss_that_grew_after_it_was_accepted_keeps_the_source"),
    _mutant("source with accepted losses is not read again", "archives.archiver._write", "source_fd if final else None",
            "source_fd if summary.clean else None",
            _UNIT + "test_losses.py::"
            "test_a_source_that_changes_meanwhile_is_kept_though_its_losses_are_accepted"),
    _mutant("an attribute that cannot be read counts as removed", "archives.format.xattrs._is_gone",
            "return os.fsdecode(name) not in os.listxattr(where)", "return True",
            _UNIT + "test_archive_races.py::"
            "test_an_attribute_that_cannot_be_read_is_named_and_the_others_are_kept"),
    _mutant("attributes end where the kernel's list does", "archives.format.xattrs._xattr_names",
            "return list_long(fd, beside_fd, _XATTRS_MAX)", "return []",
            _UNIT + "test_long_attributes.py::test_such_a_source_is_archived_whole"),
    _mutant("the time of a place where a subvolume was is compared", "fs.subvolumes.is_stub",
            "return found.st_ino", "return False and found.st_ino",
            _UNIT + "test_subvolumes.py::test_where_another_subvolume_was_has_no_time_that_could_change"),
    _mutant("read-only subvolumes stay so", "fs.subvolumes.make_writable", "if flags & _READ_ONLY:", "if False:",
            _UNIT + "test_subvolumes.py::test_what_is_in_subvolumes_is_in_the_archive_and_then_gone"),
    _mutant("unclean archive is taken for a clean one", "lifecycle.quarantines.archive",
            "if committed.archive.clean or committed.accepted:", "if True:",
            "source is written to while it is archived"),
    _mutant("unclean commit is taken", "archives.archiver._take", "or not archive.clean:", "or False:",
            _UNIT + "test_archiver.py::"
            "test_a_provisional_commit_that_was_not_recorded_never_counts_as_the_final_one"),
    _mutant("archive's digest is not checked before its source is condemned", "lifecycle.engine._condemn",
            "self.archives.check(record.quarantine.archive, progress)", "pass",
            "archive rots before its source is condemned"),
    _mutant("digests differ without consequence", "archives.archiver.check", "if found != expected:", "if False:",
            "archive rots before its source is condemned"),
    _mutant("manifest's digest is not checked before its source is condemned", "archives.archiver.check",
            "name.files, (archive.sha256, archive.manifest_sha256)", "name.files[:1], (archive.sha256,)",
            "manifest rots before its source is condemned"),
    _mutant("content of members is not verified", "archives.format.payload.read_payload",
            "if found != expected:", "if False:", "archives are forged"),
    _mutant("fields of members are not verified", "archives.format.verify._verify_member", "if found != wanted:",
            "if False:",
            "archives are forged"),
    _mutant("members after the last are not seen", "archives.format.verify.verify_archive", "if following is not None:",
            "if False:", "archives are forged"),
    _mutant("bytes after the archive are not seen", "archives.format.verify.verify_archive", "archive.finish()", "pass",
            "archives are forged"),
    _mutant("digest of the archive is not verified", "archives.format.verify.verify_archive",
            "if digest is not None and digest != archive.sha256:", "if False:", "archives are forged"),
    _mutant("size of the archive is not verified", "archives.format.verify.verify_archive",
            "if trailer.archive_bytes != archive.compressed_size:", "if False:", "archives are forged"),
)  # fmt: skip
_PRECONDITIONS: Final = (
    _mutant("inode is not compared when the directory is looked for", "lifecycle.directories.locate",
            "if standing is None or standing.token is None:", "if True:",
            "another directory stands where it lived"),
    _mutant("copies are adopted that nobody spoke for", "lifecycle.directories.locate",
            "if not (self._adopting and standing.token is Token.SAME):", "if standing.token is not Token.SAME:",
            _UNIT + "test_adoption.py::test_a_copy_is_told_as_one_and_adopted_on_request"),
    _mutant("anything is adopted as a copy", "lifecycle.directories.locate",
            "if not (self._adopting and standing.token is Token.SAME):", "if not self._adopting:",
            _UNIT + "test_adoption.py::test_what_is_no_copy_is_never_adopted"),
    _mutant("a snapshot of the volume is archived", "fs.walk._look", "elif is_snapshot_of(fd, root_fd):", "elif False:",
            _UNIT + "test_subvolumes.py::test_a_snapshot_of_the_volume_itself_gets_into_no_archive"),
    _mutant("the mark of another is adopted", "lifecycle.adoption._candidate", "Token.OTHER: Verdict.OTHER",
            "Token.OTHER: Verdict.COPY", _UNIT + "test_adoption.py::test_what_is_no_copy_is_never_adopted"),
    _mutant("inode is not compared before a removal", "fs.remove._open_condemned",
            "_require_condemned(os.lstat(name, dir_fd=parent_fd), parent_fd, name, inode)", "pass",
            "another directory stands in trash"),
    _mutant("inode is not compared again once it is open", "fs.remove._open_condemned",
            "_require_condemned(os.fstat(fd), parent_fd, name, inode)", "pass",
            "directory in trash is swapped while it is opened"),
    _mutant("inode is not compared at all", "fs.remove._require_condemned",
            "(found.st_dev, found.st_ino) != (device, inode)", "False", "another directory stands in trash"),
    _mutant("links are followed to the directory", "fs.durable.opened_directory",
            "open_beneath(dir_fd, os.fsencode(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)",
            "os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)",
            _UNIT + "test_durable.py::test_a_link_in_place_of_a_directory_is_not_opened"),
    _mutant("unknown directory is adopted", "lifecycle.engine.ensure",
            "if self._directories.exists_live(identity):", "if False:",
            "a strangers directory stands there before"),
    _mutant("latched, but removed without archive", "lifecycle.engine.condemn", "if record.must_be_archived:",
            "if False:",
            "removal is asked for before the archive"),
    _mutant("latched, but retained", "lifecycle.engine.retain", "if record.quarantine is not None or", "if",
            "retaining is asked for before the archive"),
    _mutant("retained in the trash", "lifecycle.engine.retain", "if place is Place.TRASH:", "if False:",
            "retain during delete deaths"),
    _mutant("latch can be changed", "lifecycle.engine.latch", "if record.quarantine is not None:", "if False:",
            "deaths"),
    _mutant("latched when it is gone", "lifecycle.engine.latch", "if record.phase is not Phase.PROVISIONED:",
            "if False:",
            "it is latched when it is gone"),
    _mutant("vanished is taken for removed", "lifecycle.engine._condemn",
            "raise self._lives.vanished(record.identity, record.inode)",
            "return self._journal.write(record.at(Phase.GONE))", "it vanishes"),
    _mutant("lost entry is taken for never made", "lifecycle.engine.check_never_made", "is not None:",
            "is not None and False:",
            "the journal loses the entry"),
    _mutant("living directory is forgotten", "lifecycle.engine.forget", "if record.phase is Phase.GONE or",
            "if True or",
            "it is forgotten while it lives"),
    _mutant("retained directory is forgotten", "lifecycle.engine.forget", "self._directories.find(record) is None",
            "True",
            "it is forgotten while it is retained"),
    _mutant("attempts always count from one", "archives.archiver._next_attempt",
            "while any(exists(name, fd) for name in ArchiveName.of(identity, attempt).files):", "while False:",
            "archive of that name exists"),
    _mutant("half archives are not discarded", "archives.unfinished.discard", "os.unlink(name, dir_fd=dir_fd)", "pass",
            "deaths"),
    _mutant("second name of a commit is kept", "archives.archiver._take",
            "discard(unfinished_names(record.identity), incoming)", "pass",
            "quarantine linking"),
    _mutant("half archives are opened again", "archives.unfinished.creating", "os.O_CREAT | os.O_EXCL", "os.O_CREAT",
            "life"),
    _mutant("unmounted volume is not noticed", "volume.volume.require_present",
            "if _inode(os.stat(self.path)) != self._inode:", "if False:", "storage is unmounted"),
    _mutant("a volume mounted anew is not locked anew", "volume.volume._reopen",
            "lock_fd = take_lock(private_fd, self._described)", "lock_fd = os.dup(self._lock_fd)",
            _UNIT + "test_volume.py::test_a_volume_mounted_anew_that_another_works_on_stays_refused"),
    _mutant("another volume is taken for ours mounted anew", "volume.volume._reopen",
            "self._require_id(self._read_marker(private_fd))", "pass",
            _UNIT + "test_volume.py::test_another_volume_mounted_in_its_place_is_none_of_ours"),
    _mutant("other marker is not noticed", "volume.volume._require_id", "if found != self.id:", "if False:",
            "storage is swapped"),
    _mutant("role of a volume is not compared", "volume.volume._read_marker", "if role != self.role or", "if",
            "the volumes change places"),
    _mutant("volume without marker is made a new one", "volume.volume._open_private",
            "(beside_content or not content_of(self.fd))", "True", "an empty volume is mounted at the next start"),
    _mutant("volume is not locked", "volume.lock.take_lock", "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
            "pass",
            "a second operator starts"),
)  # fmt: skip

MUTANTS: Final = {mutant.name: mutant for mutant in (*_FLUSHES, *_RENAMES, *_VERIFICATION, *_PRECONDITIONS)}
