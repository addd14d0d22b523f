"""The messages of agents and controller are those of channel.proto."""

from pathlib import Path

from tools.protocol import ROOT, generate


def test_the_generated_messages_are_those_of_their_source(tmp_path: Path) -> None:
    generate(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2.py*"))
    assert [path.name for path in made] == ["channel_pb2.py", "channel_pb2.pyi"]
    for path in made:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), "run: make protocol"
