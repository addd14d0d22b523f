"""From --volume-source to what PersistentVolumes point at."""

from typing import Any

import pytest

from metrics_storage.errors import VolumeSourceError
from metrics_storage.kube.volume_source import ClaimSource, VolumeTemplate, derive_template, parse_volume_source

AFFINITY = {
    "required": {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker-1"]}]}
        ]
    }
}


def test_a_host_path_on_a_named_node_is_a_local_volume_with_affinity() -> None:
    template = parse_volume_source("hostpath:/srv/metrics", "worker-1")
    assert isinstance(template, VolumeTemplate)
    assert template.locate("ns/dir") == ({"local": {"path": "/srv/metrics/ns/dir"}}, AFFINITY)
    assert template.node_name == "worker-1"


def test_a_host_path_on_every_node_is_a_host_path_volume() -> None:
    template = parse_volume_source("hostpath:/srv/metrics/", None)
    assert isinstance(template, VolumeTemplate)
    assert template.locate("ns/dir") == ({"hostPath": {"path": "/srv/metrics/ns/dir", "type": "Directory"}}, None)
    assert template.node_name is None


def test_an_nfs_export_is_an_nfs_volume() -> None:
    template = parse_volume_source("nfs:nas.example.com:/export", "worker-1")
    assert isinstance(template, VolumeTemplate)
    assert template.locate("d") == ({"nfs": {"path": "/export/d", "server": "nas.example.com"}}, None)


def test_a_claim_is_looked_up_later() -> None:
    assert parse_volume_source("claim:system/metrics", None) == ClaimSource("system", "metrics")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "claim:",
        "claim:a",
        "claim:a/b/c",
        "hostpath:",
        "hostpath:srv",
        "hostpath:/",
        "nfs:/x",
        "nfs:s:",
        "s3:b",
        "/srv",
    ],
)
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(VolumeSourceError, match="claim:<namespace>/<name>"):
        parse_volume_source(text, None)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        pytest.param({"local": {"path": "/p"}, "nodeAffinity": AFFINITY}, "local", id="local"),
        pytest.param({"hostPath": {"path": "/p"}, "nodeAffinity": AFFINITY}, "local", id="host path of one node"),
        pytest.param({"hostPath": {"path": "/p"}}, "hostPath", id="host path"),
        pytest.param({"nfs": {"path": "/p", "server": "s"}}, "nfs", id="nfs"),
    ],
)
def test_the_volume_behind_a_claim_decides(spec: dict[str, Any], kind: str) -> None:
    template = derive_template(ClaimSource("a", "b"), {"metadata": {"name": "pv"}, "spec": spec})
    source, _ = template.locate("d")
    assert list(source) == [kind]
    assert source[kind]["path"] == "/p/d"


def test_a_volume_whose_directories_cannot_be_mounted_is_named() -> None:
    spec = {"csi": {"driver": "ebs"}, "capacity": {"storage": "1Gi"}}
    with pytest.raises(VolumeSourceError, match=r"claim a/b is backed by volume pv of type csi; .*=hostpath:"):
        derive_template(ClaimSource("a", "b"), {"metadata": {"name": "pv"}, "spec": spec})
