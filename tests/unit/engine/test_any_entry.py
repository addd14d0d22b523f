"""Whatever lstat, readlink and listxattr can say of an entry is written, read back and verified."""

import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics_storage.engine.archives.format import writer
from metrics_storage.engine.archives.format.content import Content
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.scan import DirectorySink
from metrics_storage.engine.archives.format.sparse import encode_map
from tests.unit.engine.archiving import Archiving

_TOP = Entry(b"runner-0", 0, "directory", stored=True)
_names = st.binary(min_size=1, max_size=255).filter(
    lambda name: not set(b"/\0") & set(name) and name not in (b".", b"..")
)
_targets = st.binary(min_size=1, max_size=4095).filter(lambda target: 0 not in target)
_attributes = st.dictionaries(
    st.binary(min_size=1, max_size=255).filter(lambda name: 0 not in name), st.binary(max_size=300), max_size=3
)
_seconds = st.integers(-(2**63), 2**63 - 1)
_numbers = {
    "mode": st.integers(0, 0o7777),
    "uid": st.integers(0, 2**32 - 1),
    "gid": st.integers(0, 2**32 - 1),
    "mtime_ns": st.builds(lambda seconds, fraction: seconds * 10**9 + fraction, _seconds, st.integers(0, 10**9 - 1)),
    "nlink": st.integers(0, 2**64 - 1),
    "inode": st.integers(0, 2**64 - 1),
    "xattrs": _attributes,
}
_devices = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


def _entries(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Entry]:
    return st.builds(Entry, path=_names, depth=st.just(1), **_numbers, **fields)


_members = st.one_of(
    _entries(type=st.sampled_from(("directory", "fifo")), stored=st.just(True)),
    _entries(type=st.just("symlink"), stored=st.just(True), target=_targets, size=st.integers(0, 2**63 - 1)),
    _entries(type=st.just("file"), stored=st.just(True), sparse=st.just(True), size=st.integers(0, 2**63 - 1)),
    _entries(type=st.sampled_from(("block", "character")), device=_devices),
    _entries(type=st.just("socket")),
    _entries(
        status=st.sampled_from(("vanished", "unreadable", "other-mount")),
        error=st.text(max_size=20),
        xattrs_error=st.none() | st.just("E2BIG"),
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_members, max_size=6, unique_by=lambda entry: entry.path))
def test_any_entry_is_read_back_as_it_was_written(entries: list[Entry]) -> None:
    expected = [
        replace(entry, path=b"runner-0/" + entry.path, number=number)
        for number, entry in enumerate(sorted(entries, key=lambda entry: entry.path), 1)
    ]

    def scan(_fd: int, _top: bytes, sink: DirectorySink) -> Iterator[tuple[None, Entry]]:
        for entry in (_TOP, *expected):
            if entry.type == "file":
                _store_a_hole(entry, sink)
            elif entry.stored:
                sink.begin(entry)
            yield None, entry

    with tempfile.TemporaryDirectory() as root, patch.object(writer, "scan", scan):
        archiving = Archiving(Path(root))
        summary = archiving.write()
        archiving.verify(summary.archive_sha256)
        assert list(archiving.entries().values()) == [_TOP, *expected]


def _store_a_hole(entry: Entry, sink: DirectorySink) -> None:
    sparse_map = encode_map(array("q"), entry.size)
    entry.payload = len(sparse_map)
    sink.begin(entry)
    sink.write(sparse_map)
    content = Content(plain=False)
    content.hole(entry.size)
    content.finish()
    entry.blocks_sha256 = content.blocks_sha256
