"""A second image out of a first one: the same files, another name and other labels."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path


def relabel(archive: Path, target: Path, tag: str, labels: Mapping[str, str]) -> None:
    """Copy an image's archive, as `docker save` writes it, into one of another tag and with these labels added."""
    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        (manifest,) = json.loads(_read(old, "manifest.json"))
        image = json.loads(_read(old, manifest["Config"]))
        image["config"]["Labels"] = {**image["config"].get("Labels", {}), **labels}
        configuration = json.dumps(image).encode()
        named = {**manifest, "Config": f"{hashlib.sha256(configuration).hexdigest()}.json", "RepoTags": [tag]}
        for entry in old:
            if entry.name in named["Layers"]:
                new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)
        _add(new, named["Config"], configuration)
        _add(new, "manifest.json", json.dumps([named]).encode())


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    assert content is not None
    return content.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
