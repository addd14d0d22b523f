"""A storage volume and its node belong together, until the node is gone for good."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metrics_storage.controller.fleet.admission import Admission
from metrics_storage.controller.fleet.agents import AgentPod
from metrics_storage.engine.volume.bindings import Bindings
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import KubernetesError, NodeUnavailableError, VolumeError
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid
from tests.contract.fleet import NODES, every_node_exists

FIRST, SECOND = Uid.new(), Uid.new()
ANEW = replace(NODES[1], node_uid=Uid.new(), name="agent-anew")
"""A Node object that was made anew under the name of another."""


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Volume]:
    with Volume(tmp_path, Role.QUARANTINE, initialise=True) as vault:
        yield vault


def admit(vault: Volume, pod: AgentPod, volume_id: Uid, *, gone: tuple[AgentPod, ...] = ()) -> None:
    """By a controller that has just started."""

    async def exists(name: str, uid: Uid) -> bool:
        return (name, uid) not in [(each.node, each.node_uid) for each in gone]

    asyncio.run(Admission(Bindings(vault), Releases(vault), exists).admit(pod, volume_id))


def test_a_new_volume_of_a_new_node_is_taken_and_known_from_then_on(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    admit(vault, NODES[1], FIRST)
    admit(vault, NODES[2], SECOND)
    assert Bindings(vault).of_volume(FIRST) == Binding(FIRST, "node-1", NODES[1].node_uid)
    assert Bindings(vault).of_node(NODES[2].node_uid) == [Binding(SECOND, "node-2", NODES[2].node_uid)]


def test_nobody_speaks_for_the_volume_of_a_node_that_is_away(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    for gone in ((), (NODES[1],)):
        with pytest.raises(NodeUnavailableError, match="is that of node node-1"):
            admit(vault, NODES[2], FIRST, gone=gone)


def test_a_node_whose_disk_is_not_mounted_is_not_a_new_one(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    with pytest.raises(NodeUnavailableError, match="is the disk not mounted, or replaced"):
        admit(vault, NODES[1], SECOND)
    admit(vault, NODES[1], FIRST)


def test_a_node_may_begin_with_an_empty_disk_once(vault: Volume) -> None:
    asyncio.run(Admission(Bindings(vault), Releases(vault), every_node_exists).admit_new(NODES[1]))
    admit(vault, NODES[1], FIRST)
    with pytest.raises(NodeUnavailableError, match="has an empty directory: is the disk not mounted"):
        asyncio.run(Admission(Bindings(vault), Releases(vault), every_node_exists).admit_new(NODES[1]))
    asyncio.run(Admission(Bindings(vault), Releases(vault), every_node_exists).admit_new(NODES[2]))


def test_a_node_that_was_registered_anew_has_the_volume_that_is_on_its_disk(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    with pytest.raises(NodeUnavailableError, match="is that of node node-1"):
        admit(vault, ANEW, FIRST)
    admit(vault, ANEW, FIRST, gone=(NODES[1],))
    assert Bindings(vault).of_volume(FIRST) == Binding(FIRST, "node-1", ANEW.node_uid)


def test_a_name_that_is_used_again_with_an_empty_disk_is_a_new_node(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    admit(vault, ANEW, SECOND, gone=(NODES[1],))
    assert Bindings(vault).of_volume(FIRST) == Binding(FIRST, "node-1", NODES[1].node_uid)


def test_a_node_whose_volume_was_given_up_may_have_another_one(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    Releases(vault).add(FIRST)
    asyncio.run(Admission(Bindings(vault), Releases(vault), every_node_exists).admit_new(NODES[1]))
    admit(vault, NODES[1], SECOND)
    with pytest.raises(NodeUnavailableError, match=f"is {SECOND}, and its agent has {FIRST}"):
        admit(vault, NODES[1], FIRST)
    assert Releases(vault).has_any([FIRST])


def test_what_was_given_up_and_is_back_is_given_up_no_longer(vault: Volume) -> None:
    there, elsewhere = Uid.new(), Uid.new()
    admit(vault, NODES[1], FIRST)
    for given_up in (FIRST, there, elsewhere):
        Releases(vault).add(given_up)
    admission = Admission(Bindings(vault), Releases(vault), every_node_exists)
    asyncio.run(admission.admit(NODES[1], FIRST, [there]))
    assert [Releases(vault).has_any([each]) for each in (FIRST, there, elsewhere)] == [False, False, True]


def test_what_cannot_be_found_out_admits_nobody(vault: Volume) -> None:
    async def fails(_name: str, _uid: Uid) -> bool:
        raise KubernetesError("the API server does not answer")

    admit(vault, NODES[1], FIRST)
    with pytest.raises(KubernetesError):
        asyncio.run(Admission(Bindings(vault), Releases(vault), fails).admit(ANEW, FIRST))
    assert Bindings(vault).of_volume(FIRST) == Binding(FIRST, "node-1", NODES[1].node_uid)


def test_two_that_say_the_same_new_volume_at_once_are_told_apart(vault: Volume) -> None:
    async def both() -> list[BaseException | None]:
        async def exists(_name: str, _uid: Uid) -> bool:
            return True

        admission = Admission(Bindings(vault), Releases(vault), exists)
        return await asyncio.gather(*(admission.admit(pod, FIRST) for pod in NODES[:2]), return_exceptions=True)

    assert [type(result) for result in asyncio.run(both()) if result] == [NodeUnavailableError]


@pytest.mark.parametrize("content", ["", "{}", '{"volume_id": "x", "node": "n", "node_uid": "y"}'])
def test_a_binding_that_cannot_be_read_is_never_taken_for_none(vault: Volume, content: str) -> None:
    admit(vault, NODES[1], FIRST)
    (file,) = (vault.path / ".metrics-storage" / "nodes").iterdir()
    file.write_text(content)
    with pytest.raises(VolumeError, match="Bring it back from a copy"):
        Bindings(vault)


def test_what_an_interrupted_write_has_left_is_no_binding(vault: Volume) -> None:
    admit(vault, NODES[1], FIRST)
    (vault.path / ".metrics-storage" / "nodes" / f".{SECOND}.json.tmp").write_text("{")
    assert Bindings(vault).of_volume(SECOND) is None
