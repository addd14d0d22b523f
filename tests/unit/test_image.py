"""How the image is ordered and looked into. That it runs is tests/node's matter."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tools.cluster.progress import StepLog
from tools.image import pip_settings
from tools.image.builders import Order, build, choose
from tools.image.contents import Contents, read_contents

CONFIG = {"User": "0:0", "Entrypoint": ["metrics-storage"]}
PROGRAM = "opt/metrics-storage/bin/metrics-storage"


def test_settings_of_the_environment_win_and_only_the_package_index_is_taken() -> None:
    listing = "global.index-url='one'\n:env:.index-url='two'\nglobal.user='true'\ninstall.proxy='x'\n:env:.cert='/ca'\n"
    settings = pip_settings.parse_listing(listing)
    assert settings == {"index-url": "two", "user": "true", "cert": "/ca"}
    assert pip_settings.render(settings).split() == [
        "[global]",
        "index-url",
        "=",
        "two",
        "cert",
        "=",
        "/run/secrets/ca",
    ]
    assert pip_settings.certificates(settings) == Path("/ca")
    assert pip_settings.certificates({}) is None


def test_a_value_of_several_lines_stays_one_value() -> None:
    settings = pip_settings.parse_listing("global.extra-index-url='\\none\\ntwo'\n")
    assert settings == {"extra-index-url": "\none\ntwo"}


def test_the_size_is_that_of_what_is_there_in_the_end(tmp_path: Path) -> None:
    archive = save(tmp_path, {"usr/bin/sh": 10, "usr/lib/a": 5}, {PROGRAM: 7, "usr/lib/.wh.a": 0, "usr/bin/sh": 3})
    contents = read_contents(archive)
    assert contents.files == {"usr/bin/sh": 3, PROGRAM: 7}
    assert (contents.size, contents.ours) == (10, 7)
    assert list(contents.faults()) == []


def test_the_largest_packages_are_named(tmp_path: Path) -> None:
    base = "opt/metrics-storage/lib/python3.11/site-packages"
    contents = read_contents(save(tmp_path, {f"{base}/kopf/a.py": 1, f"{base}/kopf/b.py": 2, f"{base}/yaml/c.py": 1}))
    assert contents.largest(1) == [("kopf", 3)]


@pytest.mark.parametrize(
    ("files", "config", "fault"),
    [
        ({PROGRAM: 1, "usr/bin/gcc": 1}, CONFIG, "/usr/bin/gcc builds"),
        ({PROGRAM: 1, "opt/metrics-storage/bin/pip": 1}, CONFIG, "pip builds or installs"),
        ({PROGRAM: 1}, {**CONFIG, "User": "operator"}, "'operator' is no number"),
        ({PROGRAM: 1}, {**CONFIG, "Entrypoint": ["sh"]}, "entry point"),
        ({}, CONFIG, "no metrics-storage"),
    ],
)
def test_what_must_not_be_in_an_image_is_found(files: dict[str, int], config: dict[str, Any], fault: str) -> None:
    (found,) = Contents(config, files).faults()
    assert fault in found


class Commands(StepLog):
    """Notes commands in place of running them."""

    def __init__(self) -> None:
        super().__init__("image", 1)
        self.commands: list[list[str]] = []

    def run(self, argv: Sequence[str], **_: Any) -> None:
        self.commands.append(list(argv))


@pytest.mark.parametrize(
    ("works", "chosen"),
    [
        (("info", "buildx"), "docker"),
        (("info",), "buildah"),  # a docker that cannot mount secrets
        (("buildx",), "buildah"),  # no daemon answers
    ],
)
def test_an_engine_is_chosen_if_it_can_do_what_the_dockerfile_asks_for(
    works: tuple[str, ...], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ncase $1 in {'|'.join(works)}) exit 0;; esac\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose(None) == chosen


@pytest.mark.parametrize(
    ("engine", "base", "told"),
    [("docker", "", []), ("docker", "debian:12", ["--build-arg=BASE_IMAGE=debian:12"]), ("podman", "", [])],
)
def test_an_engine_builds_on_the_dockerfiles_base_and_saves_under_the_given_name(
    engine: str, base: str, told: list[str], tmp_path: Path
) -> None:
    commands = Commands()
    output = save(tmp_path, {"opt/file": 1}, tag="localhost/operator:1" if engine == "podman" else "operator:1")
    build(engine, Order("operator:1", base, {}, output), commands, tmp_path / "log")
    first, second = commands.commands
    assert first[:-1] == [engine, "build", *told, "--tag=operator:1"]
    assert second == [engine, "save", f"--output={output}", "operator:1"]
    with tarfile.open(output) as archive:
        content = archive.extractfile("manifest.json")
        assert content is not None
        assert json.load(content)[0]["RepoTags"] == ["operator:1"]
    assert read_contents(output).files == {"opt/file": 1}


def save(directory: Path, *layers: Mapping[str, int], tag: str = "x:1") -> Path:
    """An archive as `docker save` writes it, of files with these sizes."""
    archive = directory / "image.tar"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
    with tarfile.open(archive, "w") as out:
        _add(out, "manifest.json", json.dumps(manifest).encode())
        _add(out, "config.json", json.dumps({"config": CONFIG}).encode())
        for name, files in zip(names, layers, strict=True):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as layer:
                for path, size in files.items():
                    _add(layer, path, bytes(size))
            _add(out, name, content.getvalue())
    return archive


def _add(out: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    out.addfile(entry, io.BytesIO(data))
