"""`archives list` and `archives show`: what the manifests say, which is nothing verified."""

import argparse
import json
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from metrics_storage.cli.tables import count, kinds, shown, shown_path, size, table, width
from metrics_storage.cli.vaults import filtered, find, ids, opened_vault
from metrics_storage.engine.archive.entry import Entry
from metrics_storage.engine.archive.manifest import HEADER, TRAILER, Header, Trailer, line_of
from metrics_storage.engine.archive.manifest_reader import ManifestReader
from metrics_storage.engine.vault import Description, Stored, Vault

_HEAD: Final = ("ID", "NAMESPACE", "NAME", "CREATED", "SIZE", "FILES", "STATE", "REASON")
_TYPES: Final = {
    "directory": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "block": stat.S_IFBLK,
    "character": stat.S_IFCHR,
}


def list_archives(arguments: argparse.Namespace) -> int:
    """Print all archives of a volume."""
    with opened_vault(arguments) as vault:
        found = filtered(vault.archives(), arguments)
        described = describe_all(vault, found)
        if arguments.output == "json":
            for one in described:
                print(json.dumps(_fields(one)))
            return 0
        print_table(list(described), found)
        if not found:
            print(f"no archives on {vault.volume.path}", file=sys.stderr)
    return 0


def describe_all(vault: Vault, found: list[Stored]) -> Iterator[Description]:
    """Descriptions of archives, without those that are removed meanwhile."""
    for stored in found:
        try:
            yield vault.describe(stored)
        except FileNotFoundError:
            continue


def print_table(described: list[Description], known: list[Stored]) -> None:
    """Print archives as a table; `known` are all among which their ids must be clear."""
    if not described:
        return
    columns = width()
    names = ids(known, short=columns is not None)
    rows = []
    for one in described:
        header, trailer = one.header, one.trailer
        rows.append(
            (
                names[one.stored],
                one.stored.namespace,
                header.name if header else one.stored.name,
                shown(header.created_at[:10]) if header else "-",
                size(one.size) if one.size is not None else "-",
                f"{trailer.entries - trailer.types.get('directory', 0):,}" if trailer else "-",
                state(one),
                shown(header.reason) if header else shown(one.problem),
            )
        )
    for line in table(_HEAD, rows, columns, right="SIZE FILES", elastic="NAME"):
        print(line)
    if columns is not None:
        total = sum(one.size or 0 for one in described)
        print(f"{count(len(described), 'archive')}, {size(total)}", file=sys.stderr)


def state(one: Description) -> str:
    """The state of an archive in one or two words."""
    if one.trailer is not None and one.stored.complete:
        return "clean" if one.trailer.clean else "not clean"
    if one.stored.complete:
        return "damaged"
    return "no archive" if one.stored.has_manifest else "no manifest"


def show(arguments: argparse.Namespace) -> int:
    """Print what one manifest says."""
    with opened_vault(arguments) as vault, ExitStack() as stack:
        stored = find(vault, vault.archives(), arguments.archive)
        manifest_fd = stack.enter_context(vault.reading_manifest(stored))
        manifest = ManifestReader(manifest_fd)
        entries = iter(manifest)
        if arguments.output == "json":
            _show_json(manifest, entries, summary=arguments.summary)
        else:
            _show_text(stored, manifest, entries, summary=arguments.summary)
    return 0


def _show_json(manifest: ManifestReader, entries: Iterator[Entry], *, summary: bool) -> None:
    print(line_of(HEADER | asdict(manifest.header)).decode(), end="")
    for entry in entries:
        if not summary:
            print(line_of(entry.to_json()).decode(), end="")
    print(line_of(TRAILER | asdict(manifest.trailer)).decode(), end="")


def _show_text(stored: Stored, manifest: ManifestReader, entries: Iterator[Entry], *, summary: bool) -> None:
    _print_header(stored, manifest.header)
    if not summary:
        print(f"\n{'MODE':10}  {'OWNER':11}  {'SIZE':>12}  {'MODIFIED (UTC)':19}  PATH")
    for entry in entries:
        if not summary:
            print(_line(entry))
    print()
    _print_trailer(manifest.trailer)
    if sys.stdout.isatty():
        print("\nThe manifest says so; `metrics-storage archives verify` reads everything.", file=sys.stderr)


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
        print(f"{name:10}  {shown(value)}")


def _print_trailer(trailer: Trailer) -> None:
    clean = "yes" if trailer.clean else "no: what is marked, or a directory, changed or could not be read"
    for name, value in (
        ("entries", f"{trailer.entries:,} ({kinds(trailer.types)})"),
        ("content", size(trailer.payload_bytes)),
        ("size", size(trailer.archive_bytes)),
        ("clean", clean),
        ("sha256", trailer.archive_sha256),
    ):
        print(f"{name:10}  {shown(value)}")


def _line(entry: Entry) -> str:
    mode = stat.filemode(_TYPES.get(entry.type, 0) | entry.mode)
    amount = f"{entry.device[0]},{entry.device[1]}" if entry.device else f"{entry.size:,}"
    line = f"{mode}  {f'{entry.uid}:{entry.gid}':11}  {amount:>12}  {_time(entry.mtime_ns)}  {shown_path(entry.path)}"
    if entry.type == "symlink" and entry.target is not None:
        line += f" -> {shown_path(entry.target)}"
    if entry.link is not None:
        line += f" = {shown_path(entry.link)}"
    if entry.status != "ok":
        line += f"  [{entry.status}" + (f": {shown(entry.error)}]" if entry.error else "]")
    elif not entry.stored:
        line += "  [recorded only]"
    return line


def _fields(one: Description) -> dict[str, Any]:
    header, trailer = one.header, one.trailer
    return {
        "archive": one.stored.path,
        "state": state(one),
        "problem": one.problem or None,
        "namespace": one.stored.namespace,
        "name": header.name if header else one.stored.name,
        "uid": one.stored.uid,
        "attempt": one.stored.attempt,
        "bytes": one.size,
        "reason": header.reason if header else None,
        "cluster": header.cluster if header else None,
        "node": header.node if header else None,
        "requested_at": header.requested_at if header else None,
        "created_at": header.created_at if header else None,
        "entries": trailer.entries if trailer else None,
        "files": trailer.entries - trailer.types.get("directory", 0) if trailer else None,
        "payload_bytes": trailer.payload_bytes if trailer else None,
        "clean": trailer.clean if trailer else None,
        "provisional": header.provisional if header else None,
        "sha256": trailer.archive_sha256 if trailer else None,
    }


def _time(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ns // 10**9:>19}"
