"""Directories that wait for their first consumer are made where the scheduler sends it."""

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.controller.consumers import Consumers
from metrics_storage.errors import KubernetesError, MetricsStorageError
from metrics_storage.kube.resources import CLAIMS, EVENTS, STORAGES, VOLUMES, Resource
from tests.contract.fleet import eventually, run
from tests.unit.fleet.world import Fleet, fleet

SELECTED = "volume.kubernetes.io/selected-node"


def waiting(made: Fleet, **spec: Any) -> dict[str, Any]:
    """A new MetricsStorage that waits for its consumer."""
    body = made.apply(0, volumeBindingMode="WaitForFirstConsumer", **spec)
    body["metadata"]["finalizers"] = ["metricsstorage.dev/directory"]
    return body


def claim(made: Fleet, number: int = 0) -> dict[str, Any]:
    """The claim of a MetricsStorage."""
    return made.api.objects[CLAIMS, "runners", f"runner-{number}"]


def select(made: Fleet, node: str) -> None:
    """What the scheduler does once a Pod that mounts the claim comes."""
    claim(made)["metadata"].setdefault("annotations", {})[SELECTED] = node


def reasons(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in body["status"]["conditions"]}


def nothing_is_made(made: Fleet, body: dict[str, Any]) -> bool:
    """No directory, no volume, and no place for either."""
    directories = [made.directory(number, body).exists() for number in range(len(made.nodes))]
    return (
        not any(directories)
        and "storageVolumeID" not in body["status"]
        and not [key for key in made.api.objects if key[0] == VOLUMES]
    )


def test_it_is_ready_without_a_directory_until_a_pod_comes(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = waiting(made)
            await made.reconciler.reconcile(body)
            reason = "WaitingForFirstConsumer"
            assert reasons(body) == {"Ready": ("True", reason), "Provisioned": ("False", reason)}
            assert nothing_is_made(made, body)
            assert claim(made)["spec"]["storageClassName"] == "metrics-storage-wait-for-first-consumer"
            select(made, "node-1")
            meanwhile = []

            def look(verb: str, resource: Resource) -> None:
                if (verb, resource) == ("create", VOLUMES):
                    meanwhile.append((reasons(body)["Ready"][0], body["status"]["nodeName"]))

            made.api.before = look
            await made.reconciler.consume(body)
            assert meanwhile == [("True", "node-1")]
            assert reasons(body) == {"Ready": ("True", "Provisioned"), "Provisioned": ("True", "Provisioned")}
            assert body["status"]["nodeName"] == "node-1"
            assert made.directory(1, body).is_dir()
            volume = made.api.objects[VOLUMES, None, f"ms-{body['metadata']['uid']}"]
            assert volume["spec"]["storageClassName"] == claim(made)["spec"]["storageClassName"]
            assert claim(made)["status"]["phase"] == "Bound"
            # Whoever writes there later moves nothing.
            select(made, "node-0")
            await made.reconciler.consume(body)
            assert body["status"]["nodeName"] == "node-1"

    run(rule())


@pytest.mark.parametrize("why", ["no agent", "cordoned", "other labels", "unknown"])
def test_the_scheduler_chooses_again_where_a_node_cannot_take_it(tmp_path: Path, why: str) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            spec: dict[str, Any] = {"nodeSelector": {"pool": "runners"}} if why == "other labels" else {}
            body = waiting(made, **spec)
            await made.reconciler.reconcile(body)
            if why == "no agent":
                await made.leave(1)
            elif why == "cordoned":
                made.set_node(1, unschedulable=True)
            select(made, "nowhere" if why == "unknown" else "node-1")
            await made.reconciler.consume(body)
            assert SELECTED not in claim(made)["metadata"]["annotations"]
            assert reasons(body)["Ready"] == ("True", "WaitingForFirstConsumer")
            assert nothing_is_made(made, body)
            (event,) = [item for key, item in made.api.objects.items() if key[0] == EVENTS]
            assert "cannot take it" in event["message"]

    run(rule())


def test_what_fails_once_it_was_placed_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise MetricsStorageError("enough")

    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = waiting(made)
            await made.reconciler.reconcile(body)
            select(made, "node-1")
            with monkeypatch.context() as patch:
                patch.setattr("metrics_storage.controller.fleet.remote_engine.RemoteEngine.ensure", fail)
                with pytest.raises(MetricsStorageError, match="enough"):
                    await made.reconciler.consume(copy.deepcopy(body))
            assert body["status"]["storageVolumeID"] == made.nodes[1].volume_id
            assert reasons(body)["Ready"] == ("False", "TemporaryError")

    run(rule())


def test_what_is_flagged_before_a_pod_comes_waits_for_none(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = waiting(made)
            await made.reconciler.reconcile(body)
            body["metadata"]["annotations"]["metricsstorage.dev/quarantine"] = "not JSON"
            await made.reconciler.reconcile(body)
            assert body["status"]["phase"] == "Quarantined"

    run(rule())


def test_what_never_had_a_consumer_leaves_nothing(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = waiting(made)
            await made.reconciler.reconcile(body)
            body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            await made.reconciler.finalize(body)
            assert not [key for key in made.api.objects if key[0] in {CLAIMS, VOLUMES}]
            await made.reconciler.consume(body)
            assert not [key for key in made.api.objects if key[0] in {CLAIMS, VOLUMES}]

    run(rule())


def test_the_sweep_goes_on_where_the_choice_was_missed_and_leaves_alone_what_waits(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            body = waiting(made)
            await made.reconciler.reconcile(body)
            asked: list[Resource] = []
            made.api.before = lambda _verb, resource: asked.append(resource)
            await made.reconciler.look_after(body, bound=False, waiting=True)
            assert asked == []
            select(made, "node-0")
            await made.reconciler.look_after(body, bound=False, waiting=False)
            assert body["status"]["nodeName"] == "node-0"

    run(rule())


class Slow:
    """A reconciler that takes its time, and fails as often as asked."""

    def __init__(self, failures: int = 0) -> None:
        self.go_on = asyncio.Event()
        self.calls = 0
        self.failures = failures

    async def consume(self, _body: object) -> None:
        self.calls += 1
        await self.go_on.wait()
        if self.failures:
            self.failures -= 1
            raise KubernetesError("no answer")


def consumers(made: Fleet, slow: Slow) -> Consumers:
    return Consumers(made.api, slow)  # type: ignore[arg-type]


def test_a_choice_that_comes_while_another_is_looked_at_is_not_lost(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            await made.reconciler.reconcile(waiting(made))
            slow = Slow()
            serving = consumers(made, slow)
            serving.serve(claim(made))
            await eventually(lambda: slow.calls == 1, "the first is looked at")
            for _ in range(3):
                serving.serve(claim(made))
            slow.go_on.set()
            await eventually(lambda: slow.calls == 2, "and then the last")
            await serving.close()
            assert slow.calls == 2

    run(rule())


def test_what_fails_is_tried_again_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            await made.reconciler.reconcile(waiting(made))
            monkeypatch.setattr("metrics_storage.model.error_reasons._SOON", 0.01)
            slow = Slow(failures=2)
            slow.go_on.set()
            serving = consumers(made, slow)
            serving.serve(claim(made))
            await eventually(lambda: slow.calls == 3, "it is tried again")
            made.api.objects.pop((STORAGES, "runners", "runner-0"))
            serving.serve(claim(made))
            await eventually(lambda: not serving._providing, "nothing is left to do")
            assert slow.calls == 3

    run(rule())
