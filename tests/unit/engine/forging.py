"""Archives made by hand: archive and manifest agree, whatever they say."""

import gzip
import hashlib
from dataclasses import asdict

from metrics_storage.engine.archives.format.content import Content
from metrics_storage.engine.archives.format.entry import VERSION, Entry
from metrics_storage.engine.archives.format.manifest import HEADERS, TRAILER, Account, line_of
from metrics_storage.engine.archives.format.tarformat import BLOCK, RECORD, Member, encode
from tests.unit.engine.archiving import HEADER, Archiving

TOP = b"runner-0"
Parts = tuple[Entry, bytes]


def directory(path: bytes = TOP, depth: int = 0, **fields: object) -> Parts:
    return Entry(path, depth, type="directory", stored=True, mode=0o755, **fields), b""  # type: ignore[arg-type]


def blocks_sha256(data: bytes) -> str:
    content = Content(plain=False)
    content.data(data)
    content.finish()
    return content.blocks_sha256


def file(path: bytes, content: bytes = b"content", depth: int = 1, **fields: object) -> Parts:
    values: dict[str, object] = {
        "type": "file",
        "stored": True,
        "mode": 0o644,
        "size": len(content),
        "payload": len(content),
        "nlink": 1,
        "sha256": hashlib.sha256(content).hexdigest(),
        "blocks_sha256": blocks_sha256(content),
        **fields,
    }
    return Entry(path, depth, **values), content  # type: ignore[arg-type]


def sparse_file(path: bytes, payload: bytes, size: int) -> Parts:
    """A file that is nothing but a hole, with any map."""
    return file(path, payload, size=size, sparse=True, sha256=None, blocks_sha256=blocks_sha256(b""))


def symlink(path: bytes, target: bytes, depth: int = 1) -> Parts:
    return Entry(path, depth, type="symlink", stored=True, mode=0o777, size=len(target), target=target), b""


def hard_link(path: bytes, link: bytes, size: int = 7) -> Parts:
    return Entry(path, 1, type="file", stored=True, mode=0o644, size=size, nlink=2, link=link), b""


def forge(archiving: Archiving, *parts: Parts, raw: bytes = b"", version: int = VERSION) -> None:
    """Write an archive and a manifest that agree, whatever they say; `raw` comes last into the tar alone."""
    tar = b""
    lines = [line_of(HEADERS[version] | asdict(HEADER))]
    account = Account(HEADER)
    numbers = {entry.path: number for number, (entry, _) in enumerate(parts)}
    for entry, content in parts:
        if version == 1:
            entry.blocks_sha256 = None
        elif entry.link is not None:
            entry.link_number = numbers[entry.link]
        if entry.stored:
            tar += encode(Member.of(entry)) + content + bytes(-len(content) % BLOCK)
        lines.append(line_of(entry.to_json(version)))
        account.add(entry)
    tar += raw + bytes(2 * BLOCK)
    packed = gzip.compress(tar + bytes(-len(tar) % RECORD), mtime=0)
    archiving.archive.write_bytes(packed)
    before = hashlib.sha256(b"".join(lines)).hexdigest()
    trailer = account.close(len(packed), hashlib.sha256(packed).hexdigest(), before)
    archiving.manifest.write_bytes(b"".join(lines) + line_of(TRAILER | asdict(trailer)))
