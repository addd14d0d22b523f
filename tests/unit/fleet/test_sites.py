"""Where directories go on many nodes, and that the status says so before they are made."""

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.errors import (
    JournalError,
    MetricsStorageError,
    NodeUnavailableError,
)
from metrics_storage.kube.resources import NODES as NODE_OBJECTS
from metrics_storage.kube.resources import VOLUMES
from metrics_storage.model.identity import Uid
from tests.contract.fleet import run
from tests.unit.fleet.world import fleet


def test_directories_go_where_the_fewest_are_and_the_status_names_the_node(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            bodies = [made.apply(number) for number in range(6)]
            made.answer_slowly()
            await asyncio.gather(*(made.reconciler.reconcile(body) for body in bodies))
            for number in (0, 1):
                there = [body for body in bodies if body["status"]["nodeName"] == f"node-{number}"]
                assert len(there) == 3
                assert all(made.directory(number, body).is_dir() for body in there)
                assert {body["status"]["storageVolumeID"] for body in there} == {made.nodes[number].volume_id}
            volume = made.api.objects[VOLUMES, None, f"ms-{bodies[0]['metadata']['uid']}"]
            assert bodies[0]["status"]["nodeName"] in str(volume["spec"]["nodeAffinity"])
            assert volume["spec"]["local"]["path"].startswith("/srv/metrics/runners/runner-0_")

    run(rule())


def test_the_place_is_in_the_status_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise MetricsStorageError("enough")

    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = made.apply(0)
            with monkeypatch.context() as patch:
                patch.setattr("metrics_storage.controller.fleet.remote_engine.RemoteEngine.ensure", fail)
                with pytest.raises(MetricsStorageError, match="enough"):
                    await made.reconciler.reconcile(body)
            placed = body["status"]["storageVolumeID"]
            assert "path" not in body["status"]
            assert not any(made.directory(number, body).exists() for number in (0, 1))
            await made.reconciler.reconcile(body)
            assert body["status"]["storageVolumeID"] == placed
            assert body["status"]["phase"] == "Ready"

    run(rule())


@pytest.mark.parametrize(
    ("said", "spec"),
    [
        ({"unschedulable": True}, {}),
        ({"labels": {"pool": "other"}}, {"nodeSelector": {"pool": "runners"}}),
    ],
    ids=["cordoned", "other labels"],
)
def test_a_node_that_will_not_do_gets_nothing(tmp_path: Path, said: dict[str, Any], spec: dict[str, Any]) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            for agent in made.controller.agents:
                object.__setattr__(agent.pod, "labels", {"pool": "runners"})
            made.set_node(0, **said)
            made.set_node(1, labels={"pool": "runners"})
            bodies = [made.apply(number, **spec) for number in range(3)]
            for body in bodies:
                await made.reconciler.reconcile(body)
            assert {body["status"]["nodeName"] for body in bodies} == {"node-1"}
            made.set_node(1, **said)
            body = made.apply(9, **spec)
            with pytest.raises(NodeUnavailableError, match="none of the 2 connected nodes can take it"):
                await made.reconciler.reconcile(body)
            assert body["status"]["conditions"][0]["reason"] == "NodeUnavailable"
            assert "storageVolumeID" not in body["status"]

    run(rule())


def test_a_node_that_was_made_anew_under_its_name_gets_nothing(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            made.api.objects[NODE_OBJECTS, None, "node-0"]["metadata"]["uid"] = str(Uid.new())
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.reconcile(made.apply(0))

    run(rule())


def test_a_place_that_the_status_lost_is_found_in_the_journals(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = made.apply(0)
            await made.reconciler.reconcile(body)
            before = body.pop("status")
            await made.reconciler.reconcile(body)
            assert body["status"]["storageVolumeID"] == before["storageVolumeID"]
            for agent in made.controller.agents:
                agent.uids.add(Uid(body["metadata"]["uid"]))
            del body["status"]
            with pytest.raises(JournalError, match="keep one"):
                await made.reconciler.reconcile(body)
            assert body["status"]["conditions"][0]["reason"] == "JournalUnreadable"
            assert "keep one" in body["status"]["conditions"][0]["message"]
            assert await made.reconciler.is_latched(body)

    run(rule())


@pytest.mark.parametrize("lost", ["status", "the volume in it"])
def test_what_has_a_directory_is_neither_placed_anew_nor_let_go_meanwhile(tmp_path: Path, lost: str) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = made.apply(0)
            await made.reconciler.reconcile(body)
            before = dict(body["status"])
            number = 0 if before["nodeName"] == "node-0" else 1
            (made.directory(number, body) / "metrics.json").write_text("{")
            await made.leave(number)
            if lost == "status":
                del body["status"]
            else:  # As with an operator that had one storage volume.
                del body["status"]["storageVolumeID"]
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.reconcile(body)
            if lost != "status":
                body["status"].pop("storageVolumeID")
            body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.finalize(body)
            assert body["status"]["storageVolumeID"] == before["storageVolumeID"]
            assert not made.directory(1 - number, body).exists()
            await made.come_back(number)
            await made.reconciler.finalize(body)
            assert not made.directory(number, body).exists()

    run(rule())


@pytest.mark.parametrize("kept", ["a status", "a volume without labels"])
def test_a_directory_of_which_nobody_says_where_it_is_waits_for_who_knows(tmp_path: Path, kept: str) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = made.apply(0)
            await made.reconciler.reconcile(body)
            await made.leave(0)
            body["status"].pop("storageVolumeID")
            key = VOLUMES, None, f"ms-{body['metadata']['uid']}"
            if kept == "a status":
                made.api.objects.pop(key)
            else:
                del body["status"]
                del made.api.objects[key]["metadata"]["labels"]
            with pytest.raises(NodeUnavailableError, match="waits for the agent whose journal knows it"):
                await made.reconciler.reconcile(body)
            body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            with pytest.raises(NodeUnavailableError, match="waits for the agent whose journal knows it"):
                await made.reconciler.finalize(body)
            await made.come_back(0)
            await made.reconciler.finalize(body)
            assert not made.directory(0, body).exists()

    run(rule())


def test_a_place_is_chosen_once_whatever_an_old_event_says(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = made.apply(0)
            old = copy.deepcopy(body)
            await made.reconciler.reconcile(body)
            before = dict(body["status"])
            await made.leave(0 if before["nodeName"] == "node-0" else 1)
            made.api.objects.pop((VOLUMES, None, f"ms-{body['metadata']['uid']}"))
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.reconcile(old)
            assert body["status"]["storageVolumeID"] == before["storageVolumeID"]

    run(rule())


def test_who_is_on_a_node_that_is_away_waits_for_it(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = made.apply(0)
            await made.reconciler.reconcile(body)
            agent = made.controller.agents.of(Uid(body["status"]["storageVolumeID"]))
            before = dict(body["status"])
            made.controller.agents.remove(agent, "it is cut")
            await made.reconciler.look_after(body, bound=True)
            assert body["status"] == before
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.reconcile(body)
            assert body["status"]["conditions"][0]["reason"] == "NodeUnavailable"
            assert body["status"]["nodeName"] == before["nodeName"]
            body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.finalize(body)

    run(rule())


def test_a_life_on_many_nodes_ends_in_one_vault(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            bodies = [made.apply(number) for number in range(2)]
            for body in bodies:
                await made.reconciler.reconcile(body)
                number = 0 if body["status"]["storageVolumeID"] == made.nodes[0].volume_id else 1
                (made.directory(number, body) / "evidence").write_text("{")
                body["metadata"]["annotations"]["metricsstorage.dev/quarantine"] = "not JSON"
                await made.reconciler.reconcile(body)
                assert body["status"]["phase"] == "Quarantined"
                assert not made.directory(number, body).exists()
            assert {body["status"]["nodeName"] for body in bodies} == {"node-0", "node-1"}
            assert len(list((tmp_path / "quarantine").glob("runners/*.tar.gz"))) == 2
            for body in bodies:
                body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                await made.reconciler.finalize(body)

    run(rule())


def test_what_was_never_placed_is_deleted_without_any_node(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 0) as made:
            body = made.apply(0)
            body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            await made.reconciler.finalize(body)

    run(rule())
