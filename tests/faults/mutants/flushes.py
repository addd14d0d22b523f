"""Engines that do not flush something to disk: what each fsync and syncfs is there for."""

import os
from typing import Any, Final

from metrics_storage.engine.archives.local_vault import LocalDraft, LocalVault
from metrics_storage.engine.fs import durable, syscalls
from metrics_storage.engine.lifecycle import engine
from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from tests.faults.change import Change, left_out
from tests.faults.mutants.mutant import UNIT, Mutant, mutant


def _without_sync_at_the_start(real: Any, volume: Volume, *args: Any, **options: Any) -> None:
    real(volume, *args, **options)
    volume._syncs_done = volume._syncs_required


FLUSHES: Final[dict[str, Mutant]] = {
    "no fsync of a made directory's parent": mutant(left_out(os.fsync, durable.make_directory), "life"),
    "no fsync of a small file": mutant(left_out(os.fsync, durable.write_file, of="fd"), "life"),
    "no fsync of a small file's directory": mutant(left_out(os.fsync, durable.write_file, of="dir_fd"), "life"),
    "no fsync of where a move goes": mutant(left_out(os.fsync, durable.move, of="to_dir_fd"), "life"),
    "no fsync of where a move comes from": mutant(left_out(os.fsync, durable.move, of="dir_fd"), "life"),
    "no fsync of a set owner": mutant(left_out(os.fsync, Directories._set_ownership), "life"),
    "no fsync of the trash": mutant(left_out(os.fsync, Directories.remove_from_trash), "life"),
    "no fsync of a forgotten entry": mutant(left_out(os.fsync, Journal.remove), "life"),
    "no fsync of an archive": mutant(left_out(os.fsync, LocalDraft.verify, of="archive_fd"), "life"),
    "no fsync of a manifest": mutant(left_out(os.fsync, LocalDraft.verify, of="manifest_fd"), "life"),
    "no fsync of a spare": mutant(left_out(os.fsync, durable.overwrite_spare, of="fd"), "quarantine full"),
    "no fsync after a spare": mutant(left_out(os.fsync, durable.overwrite_spare, of="dir_fd"), "quarantine full"),
    "a required sync is not done": mutant(left_out(syscalls.sync_filesystem, Volume.check), "deaths"),
    "no sync at the start": mutant(Change(Volume.__init__, _without_sync_at_the_start), "deaths"),
    "no sync after the lock": mutant(
        left_out(Volume.require_sync, Volume.lock),
        UNIT + "test_volume.py::"
        "test_what_a_predecessor_wrote_is_flushed_after_the_lock_and_before_any_decision",
    ),
    "no sync after an error": mutant(left_out(Volume.require_sync, engine._syncing_after_failure), "errors"),
    "no sync after an error while archiving": mutant(left_out(Volume.require_sync, LocalVault._errors), "errors"),
}  # fmt: skip
