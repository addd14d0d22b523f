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

    assert len(rules) == 7
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
