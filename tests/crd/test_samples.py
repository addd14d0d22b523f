"""The samples, which are documentation, against the definition that they document."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crd.collection import Collection

FOLDER = Path(__file__).parents[2] / "manifests" / "samples"
SAMPLES: dict[str, dict[str, Any]] = {
    path.stem: document
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] == "MetricsStorage"
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_sample_is_accepted_and_nothing_of_it_is_dropped(collection: Collection, sample: dict[str, Any]) -> None:
    answer = collection.create_object(sample)

    assert answer.accepted, answer.message
    assert answer.body["spec"] == {**answer.body["spec"], **sample.get("spec", {})}
