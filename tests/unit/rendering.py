"""The manifests as `kubectl kustomize` renders them, and the parts of them that tests look at."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]

MANIFESTS: Final = ROOT / "manifests"

RENDERED: Final = ["base", "overlays/hostpath", "overlays/kind", "overlays/namespaced"]

Manifest = dict[str, Any]


@cache
def rendered(folder: str) -> list[Manifest]:
    """The objects that `kubectl apply -k` would create."""
    command = ["kubectl", "kustomize", str(MANIFESTS / folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {result.stderr}")
    return list(yaml.safe_load_all(result.stdout))


def only(folder: str, kind: str, namespace: str | None = None) -> Manifest:
    """The one object of that kind, in that namespace where one is given."""
    (found,) = (
        manifest
        for manifest in rendered(folder)
        if manifest["kind"] == kind and namespace in (None, manifest["metadata"].get("namespace"))
    )
    return found


def pod_spec(folder: str) -> Manifest:
    """The specification of the operator's Pod."""
    spec: Manifest = only(folder, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(folder: str) -> Manifest:
    """The one container of the operator's Pod."""
    (found,) = pod_spec(folder)["containers"]
    return dict(found)


def arguments(folder: str) -> dict[str, str]:
    """The flags of the container with their values."""
    command, *flags = container(folder)["args"]
    assert command == "run"
    return dict(flag.split("=", 1) for flag in flags)


def variables(folder: str) -> dict[str, str]:
    """The environment of the container, as far as it has fixed values."""
    return {entry["name"]: entry["value"] for entry in container(folder)["env"] if "value" in entry}
