"""What the definition of MetricsStorage promises to whoever reads or writes one, and the samples that show it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.rendering import (
    MANIFESTS,
    ROOT,
    Manifest,
)

TAKEN: dict[str, tuple[str, ...]] = {
    "Kubernetes": (
        *("cm", "cs", "ep", "ev", "limits", "ns", "no", "pvc", "po", "pv", "rc", "quota", "sa", "svc", "crd", "crds"),
        *("ds", "deploy", "rs", "sts", "hpa", "cj", "csr", "ing", "netpol", "pdb", "pc", "sc", "vac", "rtc"),
    ),
    "Cluster API and OpenShift": ("ms", "ma", "md", "mp", "cl", "cc", "mhc", "mcp", "mc", "ip"),
    "cert-manager": ("cert", "certs", "cr", "crs"),
    "Prometheus Operator": ("prom", "smon", "pmon", "promrule", "am", "amcfg", "scfg", "prb", "ruler", "promagent"),
    "Istio": ("vs", "dr", "gw", "se", "we", "wg", "ap", "ra", "pa", "telemetry"),
    "Knative": ("ksvc", "kservice", "rt", "cfg", "config", "rev", "kpa", "sks", "kingress"),
    "Rook and snapshots": ("ceph", "cephbp", "cephfs", "cephos", "vs", "vsc", "vscs", "vsclass", "vsclasses"),
    "Argo": ("app", "apps", "appset", "appsets", "appproj", "wf", "wftmpl", "cwf", "ro"),
    "other systems of storage": ("lhv", "lhr", "lhe", "mstore"),
}
"""Short names of resources that share clusters with this one, by project; where two agree, kubectl takes either."""


def definition() -> Manifest:
    """The definition of MetricsStorage."""
    return dict(yaml.safe_load((ROOT / "crds" / "metricsstorage.yaml").read_text()))


def described(schema: Manifest, path: str) -> Iterator[tuple[str, Manifest]]:
    """Every field and every item of a schema with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from described(field, f"{path}.{name}")
    if "items" in schema:
        yield from described(schema["items"], f"{path}[]")


def fields() -> dict[str, Manifest]:
    """Every field of a MetricsStorage by its path."""
    (version,) = definition()["spec"]["versions"]
    return dict(described(version["schema"]["openAPIV3Schema"], "metricsstorage"))


# The API server describes metadata itself, and refuses a definition that does.
@pytest.mark.parametrize("path", sorted(fields().keys() - {"metricsstorage.metadata"}))
def test_every_field_has_a_description_in_sentences(path: str) -> None:
    description = fields()[path].get("description", "")

    assert description.endswith(".")
    assert description[0].isupper()


def test_every_rule_has_a_message_that_says_how_to_go_on() -> None:
    rules = [rule for field in fields().values() for rule in field.get("x-kubernetes-validations", [])]

    assert len(rules) == 9
    assert all(re.search(r"set (it|them) back|put the field back|give|write", rule["message"]) for rule in rules)


def test_the_rules_compile_on_servers_older_than_the_quantity_library() -> None:
    rules = [rule["rule"] for field in fields().values() for rule in field.get("x-kubernetes-validations", [])]

    assert not [rule for rule in rules if "uantity(" in rule]


def test_the_columns_are_those_of_the_design_and_more_for_wide_output() -> None:
    (version,) = definition()["spec"]["versions"]
    columns = version["additionalPrinterColumns"]

    assert [column["name"] for column in columns if not column.get("priority")] == [
        "Ready",
        "Phase",
        "Capacity",
        "Used",
        "Node",
        "Quarantine",
        "Age",
    ]
    assert [column["name"] for column in columns if column.get("priority")] == [
        "Policy",
        "Stalled",
        "Archive",
    ]


def test_the_short_name_is_that_of_no_well_known_resource() -> None:
    (name,) = definition()["spec"]["names"]["shortNames"]

    assert name == "mstor"
    assert not [project for project, names in TAKEN.items() if name in names]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_commands_on_a_page_use_the_short_name_that_is_served(page: Path) -> None:
    """kubectl commands on MetricsStorages; other kinds that appear there are listed."""
    command = r"kubectl (?:-\S+ \S+ )*(?:get|describe|delete|wait(?: --for=\S+)?|annotate|explain|patch) ([a-z]+)"
    kinds = set(re.findall(command, page.read_text()))

    assert kinds <= {"mstor", "pv", "pvc", "pod", "configmap", "deployment", "namespace", "secret"}


def test_the_samples_can_be_applied_as_a_folder() -> None:
    samples = sorted((MANIFESTS / "samples").glob("*.yaml"))
    kinds = [yaml.safe_load(path.read_text())["kind"] for path in samples]

    assert kinds == ["Namespace", *["MetricsStorage"] * 4]


@pytest.mark.parametrize("path", sorted((MANIFESTS / "samples").glob("runner-*.yaml")), ids=lambda path: path.stem)
def test_a_sample_uses_only_fields_that_exist(path: Path) -> None:
    sample = yaml.safe_load(path.read_text())
    used = {f"metricsstorage.spec{field}" for field in _paths(sample.get("spec", {}))}

    assert sample["metadata"]["namespace"] == "runners"
    assert sample["metadata"]["name"] == path.stem
    assert used <= fields().keys()


def _paths(value: Any, path: str = "") -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}")
