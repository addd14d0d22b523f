"""How nodes of a local cluster are described: addresses, files, images. That they run Pods is tests/node's matter."""

from __future__ import annotations

import io
import ipaddress
import json
import tarfile
from pathlib import Path

import pytest

from tools.cluster.errors import ClusterError
from tools.cluster.nodes import config, control_groups
from tools.cluster.nodes.fabric import Plan, choose_plan
from tools.cluster.nodes.images import write_image
from tools.cluster.nodes.init import Spec

PLAN = Plan(ipaddress.IPv4Network("10.200.0.0/16"))


def test_everybody_has_an_address_of_their_own() -> None:
    assert PLAN.machine == "10.200.0.1"
    assert [PLAN.node(number) for number in (1, 2)] == ["10.200.0.11", "10.200.0.12"]
    assert [PLAN.pods(number) for number in (1, 2)] == ["10.200.1.0/24", "10.200.2.0/24"]


def test_a_network_that_the_machine_uses_is_not_taken() -> None:
    private = ipaddress.IPv4Network("10.0.0.0/8")
    left = ipaddress.IPv4Network("10.130.0.0/16")
    taken = [network for network in private.subnets(new_prefix=16) if network != left]
    assert choose_plan(taken).network == left
    with pytest.raises(ClusterError, match=r"from 10\.128\.0\.0/16 to 10\.254\.0\.0/16 are in use"):
        choose_plan([private])


def test_what_a_reboot_must_not_lose_is_on_the_disk() -> None:
    paths = config.NodePaths(Path("/state/node-1"))
    text = config.containerd(paths, Path("/plugins"))
    assert f'root = "{paths.disk}/containerd"' in text
    assert 'state = "/run/containerd"' in text
    assert paths.disk in paths.var_lib.parents
    assert paths.disk in paths.var_log.parents


def test_pods_get_addresses_of_their_nodes_subnet() -> None:
    (ptp, _) = config.cni(PLAN.pods(1))["plugins"]
    assert ptp["ipam"]["ranges"] == [[{"subnet": "10.200.1.0/24"}]]


def test_a_control_group_is_named_after_its_cluster_and_node() -> None:
    first, second = (control_groups.ControlGroup(Path(f"/states/{name}"), "node-1").path for name in ("a", "b"))
    assert first != second
    assert first.endswith("-node-1")


def test_a_node_reads_what_was_written_for_it(tmp_path: Path) -> None:
    spec = Spec("/a", "/b", ["containerd"], "/c.sock", ["kubelet", "--x=y"], "10.96.0.1", PLAN.machine, 6443, "/logs")
    spec.write(tmp_path / "spec.json")
    assert Spec.read(tmp_path / "spec.json") == spec


def test_an_image_is_an_archive_as_docker_writes_it(tmp_path: Path) -> None:
    write_image(tmp_path / "image.tar", "tool:1", {"bin/tool": b"\x7fELF"}, ["/bin/tool"], {"bin/alias": "tool"})
    with tarfile.open(tmp_path / "image.tar") as archive:
        content = {entry.name: _read(archive, entry) for entry in archive}
    (manifest,) = json.loads(content["manifest.json"])
    assert manifest["RepoTags"] == ["tool:1"]
    assert json.loads(content[manifest["Config"]])["config"]["Entrypoint"] == ["/bin/tool"]
    with tarfile.open(fileobj=io.BytesIO(content[manifest["Layers"][0]])) as layer:
        assert layer.getmember("bin/alias").linkname == "tool"
        assert layer.getmember("bin/tool").mode == 0o755


def _read(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    assert file is not None
    return file.read()
