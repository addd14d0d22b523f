"""What the API server refuses, as a policy or a quota wants it: a person is called once, and it goes on after it."""

import asyncio
from collections.abc import Callable

import pytest

from metrics_storage.constants import FINALIZER
from metrics_storage.errors import (
    KubernetesError,
)
from metrics_storage.kube.resources import CLAIMS, STORAGES, Resource
from tests.unit.controller.world import UID, World


def refusing(verb: str, resource: Resource, status: int = 403) -> Callable[[str, Resource], None]:
    """An API server that refuses one kind of request for good, in its own words."""

    def refuse(asked: str, about: Resource) -> None:
        if (asked, about) == (verb, resource):
            raise KubernetesError(f"{verb} refused: maximum storage usage per PersistentVolumeClaim is 1Gi", status)

    return refuse


@pytest.mark.parametrize("status", [400, 403, 405, 413, 422])
def test_what_is_refused_again_and_again_calls_a_person_once_and_is_tried_again(world: World, status: int) -> None:
    world.apply()
    world.api.before = refusing("create", CLAIMS, status)
    reasons = []
    for _ in range(4):
        with pytest.raises(KubernetesError):
            world.reconcile()
        reasons.append((world.reason("Ready"), world.reason("Stalled")))
    temporary, stalled = ("TemporaryError", None), ("RequestRefused", "RequestRefused")
    assert reasons == [temporary, temporary, stalled, stalled]
    (told,) = [each["message"] for each in world.body["status"]["conditions"] if each["type"] == "Stalled"]
    assert "maximum storage usage per PersistentVolumeClaim is 1Gi" in told
    assert len(world.events("RequestRefused")) == 1
    world.api.before = lambda _verb, _resource: None
    world.reconcile()
    assert (world.reason("Ready"), world.reason("Stalled")) == ("Provisioned", None)


@pytest.mark.parametrize("status", [None, 401, 429, 500, 503])
def test_what_the_next_attempt_may_not_meet_calls_nobody(world: World, status: int) -> None:
    world.apply()
    world.api.before = refusing("create", CLAIMS, status)
    for _ in range(5):
        with pytest.raises(KubernetesError):
            world.reconcile()
    assert (world.reason("Ready"), world.reason("Stalled")) == ("TemporaryError", None)


def test_a_person_who_was_called_for_a_refusal_stays_called_over_a_restart(world: World) -> None:
    world.apply()
    world.api.before = refusing("create", CLAIMS)
    for _ in range(3):
        with pytest.raises(KubernetesError):
            world.reconcile()
    world.reconciler._refusals.forget(UID)
    with pytest.raises(KubernetesError):
        world.reconcile()
    assert world.reason("Stalled") == "RequestRefused"


def test_a_finalizer_that_a_policy_refuses_to_change_is_named_in_the_status(world: World) -> None:
    for act in (world.reconciler.take_over, world.reconciler.conclude):
        world.apply()
        if act == world.reconciler.conclude:
            world.reconcile()
            world.body["metadata"] |= {
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": [FINALIZER, "example.com/other"],
            }
        world.api.before = refusing("patch", STORAGES)
        for _ in range(3):
            with pytest.raises(KubernetesError):
                asyncio.run(act(world.body))
            world.reconciler._attempts._not_before.clear()
        assert world.reason("Stalled") == "RequestRefused"
        world.api.before = lambda _verb, _resource: None
        asyncio.run(act(world.body))
        kept = ["example.com/other"] if act == world.reconciler.conclude else [FINALIZER]
        assert world.body["metadata"]["finalizers"] == kept
