"""Digests of content: the same bytes have the same, however they are told."""

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_storage.engine.archives.format.content import BLOCK, Content

runs = st.tuples(
    st.sampled_from((0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7)), st.sampled_from((0, 0, 1, 255))
)
files = st.lists(runs, max_size=6).map(lambda parts: b"".join(bytes([value]) * length for length, value in parts))


def told(pieces: list[bytes | int], *, plain: bool) -> Content:
    """Digests of pieces of which the numbers are lengths of holes."""
    content = Content(plain=plain)
    for piece in pieces:
        if isinstance(piece, bytes):
            content.data(piece)
        else:
            content.hole(piece)
    content.finish()
    return content


def documented(data: bytes) -> str:
    """What `docs/archives.md` says `blocks_sha256` is, in the plain way."""
    runs: list[list[int]] = []
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        if not any(block):
            continue
        if runs and sum(runs[-1]) == start:
            runs[-1][1] += len(block)
        else:
            runs.append([start, len(block)])
    held = hashlib.sha256(b"".join(data[start : start + length] for start, length in runs)).hexdigest()
    text = "".join(f"{start} {length}\n" for start, length in runs) + held
    return hashlib.sha256(text.encode()).hexdigest()


@given(data=files, plain=st.booleans(), draw=st.data())
def test_digests_depend_on_nothing_but_the_bytes(data: bytes, plain: bool, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces: list[bytes | int] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = data[start:end]
        pieces.append(len(piece) if not any(piece) and draw.draw(st.booleans()) else piece)
    content = told(pieces, plain=plain)
    assert content.blocks_sha256 == documented(data)
    assert content.sha256 == (hashlib.sha256(data).hexdigest() if plain else None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param([b"a" * BLOCK, BLOCK], [BLOCK, b"a" * BLOCK], id="moved"),
        pytest.param([b"a" * 2 * BLOCK], [b"a" * BLOCK, BLOCK, b"a" * BLOCK], id="apart"),
        pytest.param([b"a", BLOCK], [b"a" + bytes(BLOCK - 1), b"a"], id="longer"),
    ],
)
def test_other_bytes_have_other_digests(one: list[bytes | int], other: list[bytes | int]) -> None:
    assert told(one, plain=False).blocks_sha256 != told(other, plain=False).blocks_sha256


def test_a_hole_costs_nothing_without_a_plain_digest() -> None:
    began = time.process_time()
    told([b"begin", 1 << 62, b"end"], plain=False)
    assert time.process_time() - began < 1
