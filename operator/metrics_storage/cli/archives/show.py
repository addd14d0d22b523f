"""`archives show`: what the manifest of one archive says, entry by entry."""

import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from metrics_storage.cli import options
from metrics_storage.cli.archives.checksums import checksum_lines
from metrics_storage.cli.archives.references import archive_argument, find, opened_archives
from metrics_storage.cli.command import EXIT_CODES, Command
from metrics_storage.cli.options import Output
from metrics_storage.cli.output import is_terminal, note, say, say_bytes
from metrics_storage.cli.text import count, kinds, shown, shown_path, size
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest import HEADERS, TRAILER, Header, Trailer, line_of
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.store import Stored

_TYPES: Final = {
    "directory": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "block": stat.S_IFBLK,
    "character": stat.S_IFCHR,
}


@click.command(
    "show",
    cls=Command,
    epilog="""
After a name, -> is what a symbolic link says, = the file that a hard link is linked to, [..] what was amiss. With
--output json the manifest's own lines are printed: header, entries, trailer. Nothing is extracted, and whatever could
control a terminal is escaped.
""",
    exit_codes={**EXIT_CODES, 1: "failure: the manifest is damaged"},
    examples=(
        "metrics-storage archives show 0b0c7f5e_1",
        "metrics-storage archives show runners/runner-0 --checksums | \\\n    sha256sum --check",
        "metrics-storage archives show runners/runner-0 -o json | \\\n    jq -r '.shown // empty'",
    ),
)
@archive_argument
@options.quarantine_root_or_copy
@click.option("--summary", is_flag=True, help="Without the entries.")
@click.option("--checksums", is_flag=True, help="Only the SHA-256 of each file, for sha256sum --check.")
@options.output
def show(archive: str, quarantine_root: Path | None, summary: bool, checksums: bool, output: Output) -> None:
    """Show what a manifest says of an archive."""
    with opened_archives(quarantine_root, archive) as store, ExitStack() as stack:
        stored = find(store, store.archives(), archive)
        manifest_fd = stack.enter_context(store.reading_manifest(stored))
        manifest = ManifestReader(manifest_fd)
        entries = iter(manifest)
        if checksums:
            _show_checksums(manifest, entries)
        elif output is Output.JSON:
            _show_json(manifest, entries, summary=summary)
        else:
            _show_text(stored, manifest, entries, summary=summary)


def _show_checksums(manifest: ManifestReader, entries: Iterator[Entry]) -> None:
    missing = 0
    for line in checksum_lines(entries, manifest.version):
        if line is None:
            missing += 1
        else:
            say_bytes(line)
    if missing:
        note(f"{count(missing, 'file')} with large holes without a SHA-256; metrics-storage archives verify checks all")


def _show_json(manifest: ManifestReader, entries: Iterator[Entry], *, summary: bool) -> None:
    say(line_of(HEADERS[manifest.version] | asdict(manifest.header)).decode(), end="")
    for entry in entries:
        if not summary:
            say(line_of(entry.to_json(manifest.version)).decode(), end="")
    say(line_of(TRAILER | asdict(manifest.trailer)).decode(), end="")


def _show_text(stored: Stored, manifest: ManifestReader, entries: Iterator[Entry], *, summary: bool) -> None:
    _print_header(stored, manifest.header)
    if not summary:
        say(f"\n{'MODE':10}  {'OWNER':11}  {'SIZE':>12}  {'MODIFIED (UTC)':19}  PATH")
    for entry in entries:
        if not summary:
            say(_line(entry))
    say()
    _print_trailer(manifest.trailer)
    if is_terminal(sys.stdout):
        note("\nThe manifest says so; `metrics-storage archives verify` reads everything.")


def _print_header(stored: Stored, header: Header) -> None:
    software = ", ".join(f"{name} {version}" for name, version in header.software.items())
    for name, value in (
        ("archive", stored.path if stored.has_archive else f"{stored.path} (missing)"),
        ("runner", f"{header.namespace}/{header.name}"),
        ("uid", header.uid),
        ("attempt", f"{header.attempt}{' (provisional: the source was still in use)' if header.provisional else ''}"),
        ("cluster", header.cluster or "-"),
        ("node", header.node or "-"),
        ("reason", header.reason or "-"),
        ("requested", header.requested_at or "-"),
        ("created", header.created_at),
        ("software", software),
    ):
        say(f"{name:10}  {shown(value)}")


def _print_trailer(trailer: Trailer) -> None:
    clean = "yes" if trailer.clean else "no: what is marked, or a directory, changed or could not be read"
    for name, value in (
        ("entries", f"{trailer.entries:,} ({kinds(trailer.types)})"),
        ("content", size(trailer.payload_bytes)),
        ("size", size(trailer.archive_bytes)),
        ("clean", clean),
        ("sha256", trailer.archive_sha256),
    ):
        say(f"{name:10}  {shown(value)}")


def _line(entry: Entry) -> str:
    mode = stat.filemode(_TYPES.get(entry.type, 0) | entry.mode)
    amount = f"{entry.device[0]},{entry.device[1]}" if entry.device else f"{entry.size:,}"
    line = f"{mode}  {f'{entry.uid}:{entry.gid}':11}  {amount:>12}  {_time(entry.mtime_ns)}  {shown_path(entry.path)}"
    if entry.type == "symlink" and entry.target is not None:
        line += f" -> {shown_path(entry.target)}"
    if entry.link is not None:
        line += f" = {shown_path(entry.link)}"
    if entry.status != "ok":
        line += f"  [{shown(entry.problem)}]"
    elif not entry.stored:
        line += "  [recorded only]"
    return line


def _time(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ns // 10**9:>19}"
