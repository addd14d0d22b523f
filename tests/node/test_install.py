"""Installed as a user would: what runs is what the manifests say, and no more."""

import json

from tools.cluster import Cluster
from tools.image import BuiltImage
from tools.installation.deployment import NAMESPACE, QUARANTINE, STORAGE, Operator

_CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4}
"""Numbers from capabilities(7)."""


def test_it_runs_the_built_image_without_a_restart(operator: Operator, image: BuiltImage) -> None:
    (status,) = operator.pod()["status"]["containerStatuses"]
    assert status["image"].endswith(image.tag)
    assert status["ready"]
    assert status["restartCount"] == 0


def test_the_process_has_the_named_capabilities_and_no_other(operator: Operator) -> None:
    lines = operator.python("print(open('/proc/1/status').read())").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    wanted = sum(1 << number for number in _CAPABILITIES.values())
    assert {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {
        "CapPrm": wanted,
        "CapEff": wanted,
        "CapBnd": wanted,
    }
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_its_root_file_system_is_read_only(operator: Operator) -> None:
    code = "import os\ntry:\n    os.mkdir('/x')\nexcept OSError as exc:\n    print(exc.strerror)"
    assert operator.python(code).strip() == "Read-only file system"


def test_its_volumes_are_claims_of_the_default_class(operator: Operator, cluster: Cluster) -> None:
    claims = json.loads(operator.kubectl("get", "pvc", "-o", "json"))["items"]
    assert {claim["metadata"]["name"]: claim["status"]["phase"] for claim in claims} == {
        "metrics-storage": "Bound",
        "metrics-storage-quarantine": "Bound",
    }
    classes = json.loads(cluster.kubectl("get", "storageclass", "-o", "json").stdout)["items"]
    is_default = "storageclass.kubernetes.io/is-default-class"
    (default,) = [
        item["metadata"]["name"]
        for item in classes
        if item["metadata"].get("annotations", {}).get(is_default) == "true"
    ]
    assert {claim["spec"]["storageClassName"] for claim in claims} == {default}


def test_both_volumes_are_marked_as_what_they_are(operator: Operator) -> None:
    for root in (STORAGE, QUARANTINE):
        assert ".metrics-storage/volume.json" in operator.tree(root)


def test_applying_it_again_changes_nothing(operator: Operator) -> None:
    before = operator.pod()["metadata"]["uid"]
    operator.install("base")
    assert operator.pod()["metadata"]["uid"] == before


def test_the_commands_for_people_work_in_the_container(operator: Operator) -> None:
    assert "archives" in operator.run("metrics-storage", "--help")
    assert operator.archives(NAMESPACE) == []


def test_the_namespace_has_the_labels_of_pod_security(cluster: Cluster, operator: Operator) -> None:
    labels = json.loads(cluster.kubectl("get", "namespace", NAMESPACE, "-o", "json").stdout)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert operator.pod()["spec"]["serviceAccountName"] == "metrics-storage-operator"
