"""Archives as a table: what their manifests say, which is nothing verified."""

from collections.abc import Iterator
from typing import Final

from metrics_storage.cli.archives.references import ids
from metrics_storage.cli.output import note, say
from metrics_storage.cli.tables import table, width
from metrics_storage.cli.text import count, shown, size
from metrics_storage.engine.archives.store import ArchiveStore, Description, Stored

_MINUTES: Final = len("2026-01-01T00:00")

_HEAD: Final = ("ID", "NAMESPACE", "NAME", "CREATED", "SIZE", "FILES", "STATE", "REASON")


def describe_all(store: ArchiveStore, found: list[Stored]) -> Iterator[Description]:
    """Descriptions of archives, without those that are removed meanwhile."""
    for stored in found:
        try:
            yield store.describe(stored)
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
                shown(header.created_at[:_MINUTES]) + "Z" if header else "-",
                size(one.size) if one.size is not None else "-",
                f"{trailer.entries - trailer.types.get('directory', 0):,}" if trailer else "-",
                state(one),
                shown(header.reason) if header else shown(one.problem),
            )
        )
    for line in table(_HEAD, rows, columns, right=("SIZE", "FILES"), elastic=("NAMESPACE", "NAME", "REASON")):
        say(line)
    if columns is not None:
        total = sum(one.size or 0 for one in described)
        note(f"{count(len(described), 'archive')}, {size(total)}")


def state(one: Description) -> str:
    """The state of an archive in one or two words."""
    if one.trailer is not None and one.stored.complete:
        return "clean" if one.trailer.clean else "not clean"
    if one.stored.complete:
        return "damaged"
    return "no archive" if one.stored.has_manifest else "no manifest"
