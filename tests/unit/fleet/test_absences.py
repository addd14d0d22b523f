"""Nodes that do not come back: who is called, what may be given up, and what comes back after all."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.controller.fleet import absences
from metrics_storage.errors import (
    ClaimInUseError,
    KubernetesError,
    NodeLostError,
    NodeUnavailableError,
    ObjectChangedError,
)
from metrics_storage.kube.resources import CLAIMS, EVENTS, STORAGES, VOLUMES, Resource
from metrics_storage.kube.resources import NODES as NODE_OBJECTS
from metrics_storage.model.identity import Uid
from tests.contract.fleet import run
from tests.unit.fleet.world import Fleet, fleet


def reason(body: dict[str, Any]) -> str:
    """The reason of Ready, and of Stalled where a person must act."""
    return " ".join(each["reason"] for each in body["status"]["conditions"] if each["type"] in {"Ready", "Stalled"})


async def placed(made: Fleet, **asked: Any) -> dict[str, Any]:
    """A MetricsStorage on the only node, with something in its directory."""
    body = made.apply(0, **asked)
    await made.reconciler.reconcile(body)
    (made.directory(0, body) / "metrics.json").write_text("{")
    return body


async def vanished(made: Fleet, **asked: Any) -> dict[str, Any]:
    """A MetricsStorage whose node and Node are gone, and which is being deleted."""
    body = await placed(made, **asked)
    delete(body)
    await made.leave(0)
    made.api.objects.pop((NODE_OBJECTS, None, "node-0"))
    return body


def delete(body: dict[str, Any]) -> None:
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def flag(body: dict[str, Any]) -> None:
    body["metadata"]["annotations"]["metricsstorage.dev/quarantine"] = "not JSON"


def warnings(made: Fleet) -> list[str]:
    """Messages of events about lost nodes."""
    events = [item for (resource, _, _), item in made.api.objects.items() if resource == EVENTS]
    return [event["message"] for event in events if event["reason"] == "NodeLost"]


def test_a_person_is_called_where_a_node_is_gone(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await vanished(made)
            with pytest.raises(NodeLostError, match=f"accept-loss --volume {made.nodes[0].volume_id}"):
                await made.reconciler.finalize(body)
            assert reason(body) == "NodeLost NodeLost"
            assert "node node-0 (uid" in body["status"]["conditions"][0]["message"]
            assert len(warnings(made)) == 1

    run(rule())


def test_a_person_is_called_after_ten_minutes_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await placed(made)
            await made.leave(0)
            with pytest.raises(NodeUnavailableError) as waiting:
                await made.reconciler.reconcile(body)
            assert not isinstance(waiting.value, NodeLostError)
            assert reason(body) == "NodeUnavailable"
            monkeypatch.setattr(absences, "LOST_AFTER", -1.0)
            with pytest.raises(NodeLostError):
                await made.reconciler.reconcile(body)
            monkeypatch.undo()
            with pytest.raises(NodeLostError):  # As after a restart, which does not know for how long.
                await made.reconciler.reconcile(body)
            assert reason(body) == "NodeLost NodeLost"
            await made.come_back(0)
            await made.reconciler.reconcile(body)
            assert reason(body) == "Provisioned"

    run(rule())


@pytest.mark.parametrize("what", ["uid", "volume"])
@pytest.mark.parametrize("flagged", [False, True], ids=["idle", "flagged"])
def test_what_a_person_gave_up_is_let_go_and_its_directory_is_kept(tmp_path: Path, what: str, flagged: bool) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await vanished(made)
            if flagged:
                flag(body)
            uid = Uid(body["metadata"]["uid"])
            made.controller.releases.add(uid if what == "uid" else made.nodes[0].volume_id)
            await made.reconciler.finalize(body)
            assert not [key for key in made.api.objects if key[0] in {CLAIMS, VOLUMES}]
            assert made.directory(0, body).joinpath("metrics.json").exists()
            assert ("without the archive" in warnings(made)[-1]) is flagged
            made.set_node(0)
            await made.come_back(0)
            assert not made.controller.releases.has_any([uid, made.nodes[0].volume_id])
            await made.reconciler.forget(uid, made.nodes[0].volume_id)
            assert await made.sites.find(uid, None).engine.find(uid)  # type: ignore[union-attr]

    run(rule())


def test_what_is_given_up_but_connected_takes_the_ordinary_way(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await placed(made)
            flag(body)
            delete(body)
            made.controller.releases.add(Uid(body["metadata"]["uid"]))
            await made.reconciler.finalize(body)
            assert len(list((tmp_path / "quarantine").glob("runners/*.tar.gz"))) == 1

    run(rule())


def test_what_was_given_up_while_it_was_connected_does_not_count_later(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await placed(made)
            made.controller.releases.add(made.nodes[0].volume_id)
            made.controller.releases.add(Uid(body["metadata"]["uid"]))
            await made.sites.survey()
            delete(body)
            await made.leave(0)
            made.api.objects.pop((NODE_OBJECTS, None, "node-0"))
            with pytest.raises(NodeLostError):
                await made.reconciler.finalize(body)

    run(rule())


def test_what_is_archived_is_let_go_with_its_node_like_what_was_never_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1, accept_loss_after=1e-9) as made:
            body = await placed(made)
            flag(body)
            await made.reconciler.reconcile(body)
            assert body["status"]["phase"] == "Quarantined"
            delete(body)
            await made.leave(0)
            made.api.objects.pop((NODE_OBJECTS, None, "node-0"))
            with pytest.raises(NodeLostError):
                await made.reconciler.finalize(body)
            monkeypatch.setattr(absences, "_LOOK_EVERY", -1.0)
            await made.reconciler.finalize(body)
            assert "without the archive" not in warnings(made)[-1]

    run(rule())


def test_what_is_given_up_waits_until_its_node_is_lost(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await placed(made)
            delete(body)
            made.controller.releases.add(made.nodes[0].volume_id)
            await made.leave(0)
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.finalize(body)
            # Whoever may write a status cannot hurry it.
            body["status"]["conditions"][0]["reason"] = "NodeLost"
            with pytest.raises(NodeUnavailableError):
                await made.reconciler.finalize(body)
            assert [key for key in made.api.objects if key[0] == VOLUMES]

    run(rule())


def test_a_node_that_comes_back_while_its_claim_is_in_use_is_not_given_up(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await vanished(made)
            flag(body)
            made.controller.releases.add(made.nodes[0].volume_id)
            made.api.held = True
            with pytest.raises(ClaimInUseError):
                await made.reconciler.finalize(body)
            made.set_node(0)
            await made.come_back(0)
            made.api.held = False
            made.api.objects = {key: item for key, item in made.api.objects.items() if key[0] != CLAIMS}
            await made.reconciler.finalize(body)
            assert len(list((tmp_path / "quarantine").glob("runners/*.tar.gz"))) == 1

    run(rule())


@pytest.mark.parametrize("archived", ["", "annotation", "policy"])
def test_of_its_own_accord_only_what_was_not_to_be_archived_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archived: str
) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1, accept_loss_after=1e-9) as made:
            body = await vanished(made, **({"deletionPolicy": "Quarantine"} if archived == "policy" else {}))
            if archived == "annotation":
                flag(body)
            with pytest.raises(NodeLostError):  # One look is not enough.
                await made.reconciler.finalize(body)
            monkeypatch.setattr(absences, "_LOOK_EVERY", -1.0)
            with pytest.raises(NodeLostError) if archived else nullcontext():
                await made.reconciler.finalize(body)
            assert bool([key for key in made.api.objects if key[0] == VOLUMES]) is bool(archived)

    run(rule())


def test_nothing_is_given_up_of_a_node_that_is_only_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1, accept_loss_after=1e-9) as made:
            body = await placed(made)
            delete(body)
            await made.leave(0)
            monkeypatch.setattr(absences, "LOST_AFTER", -1.0)
            with pytest.raises(NodeLostError):
                await made.reconciler.finalize(body)

    run(rule())


def test_a_flag_that_came_while_a_claim_was_waited_for_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1, accept_loss_after=1e-9) as made:
            body = await vanished(made)

            def flag_meanwhile(verb: str, resource: Resource) -> None:
                if (verb, resource) == ("delete", VOLUMES):
                    flag(made.api.objects[STORAGES, "runners", "runner-0"])

            with pytest.raises(NodeLostError):
                await made.reconciler.finalize(body)
            monkeypatch.setattr(absences, "_LOOK_EVERY", -1.0)
            made.api.before = flag_meanwhile
            with pytest.raises(ObjectChangedError, match="is not any more"):
                await made.reconciler.finalize(body)

    run(rule())


def test_nothing_is_given_up_while_the_api_server_does_not_answer(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = await vanished(made)
            made.controller.releases.add(made.nodes[0].volume_id)

            def refuse(verb: str, resource: Resource) -> None:
                if resource == NODE_OBJECTS:
                    raise KubernetesError(f"{verb}: no answer")

            made.api.before = refuse
            with pytest.raises(KubernetesError):
                await made.reconciler.finalize(body)
            assert [key for key in made.api.objects if key[0] == VOLUMES]

    run(rule())
