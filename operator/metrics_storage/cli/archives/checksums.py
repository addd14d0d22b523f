"""The digests of a manifest in the format of sha256sum(1), for any name that a file can have."""

from collections.abc import Iterable, Iterator

from metrics_storage.engine.archives.format.entry import Entry


def checksum_lines(entries: Iterable[Entry], version: int) -> Iterator[bytes | None]:
    """A line for each file that an archive holds, None for one that has no digest of its content.

    Args:
        entries: all entries of a manifest, in its order.
        version: of the manifest; the first one has digests of what is stored, which for holes is something else.
    """
    first_links: dict[int, str] = {}
    for entry in entries:
        if entry.type != "file" or not entry.stored:
            continue
        digest = entry.sha256 if version > 1 or not entry.sparse else None
        if entry.link_number is not None:
            digest = first_links.get(entry.link_number)
        elif digest is not None and entry.is_link_source:
            first_links[entry.number] = digest
        yield None if digest is None else _line(digest, entry.path)


def _line(digest: str, path: bytes) -> bytes:
    escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != path else b"") + digest.encode() + b"  " + escaped + b"\n"
