"""`archives list`: which archives there are, and what their manifests say of them."""

import json
from pathlib import Path
from typing import Any

import click

from metrics_storage.cli import options
from metrics_storage.cli.archives.described import describe_all, print_table, state
from metrics_storage.cli.archives.references import Filter, opened_store
from metrics_storage.cli.command import Command
from metrics_storage.cli.options import Output
from metrics_storage.cli.output import note, say
from metrics_storage.engine.archives.store import Description


@click.command(
    "list",
    cls=Command,
    epilog="""
STATE is what the manifests say; only verify reads everything:

\b
clean        archived whole
not clean    something changed or could not be read meanwhile: a
             provisional archive
damaged      the manifest cannot be read, or is another archive's
no archive   only the manifest is there: an interrupted commit, whose
             source is kept, or a loss
no manifest  only the archive is there: an interrupted removal, or a loss
""",
    examples=(
        "metrics-storage archives list --quarantine-root /srv/quarantine",
        "metrics-storage archives list -o json | \\\n    jq -r 'select(.clean | not) | .archive'",
    ),
)
@options.quarantine_root
@options.filters
@options.output
def list_archives(quarantine_root: Path, namespace: str | None, name: str | None, output: Output) -> int:
    """List the archives of a quarantine volume."""
    with opened_store(quarantine_root) as store:
        found = Filter(namespace, name).of(store.archives())
        described = describe_all(store, found)
        if output is Output.JSON:
            for one in described:
                say(json.dumps(_fields(one)))
        else:
            print_table(list(described), found)
        if not found:
            note(f"no archives{' of that namespace or name' if namespace or name else ''} on {store.volume.path}")
    return 0 if found or not (namespace or name) else 1


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
