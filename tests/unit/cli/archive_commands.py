"""The commands on archives, run as a person runs them."""

import json
import os

import pytest

from metrics_storage.cli.main import main
from metrics_storage.model.identity import Identity
from tests.unit.engine.archive_site import UIDS, Site

OTHER = Identity("team-b", "runner-0", UIDS[1])

Output = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main(["archives", *map(str, arguments)])


def age(site: Site, days: float, attempt: int = 1) -> None:
    """Make all archives of an attempt older, by their manifests and by their files."""
    for stored in site.store.archives():
        if stored.attempt == attempt:
            manifest = site.file(stored, ".manifest.jsonl")
            header, _, rest = manifest.read_bytes().partition(b"\n")
            fields = json.loads(header)
            fields["created_at"] = "2020-01-01T00:00:00Z"
            manifest.write_bytes(json.dumps(fields, separators=(",", ":")).encode() + b"\n" + rest)
            for path in (manifest, site.file(stored)):
                then = path.stat().st_mtime - days * 86400
                os.utime(path, (then, then))
