"""What the operator relies on in an API server: the real one must do it, and so must every fake of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeVar

import pytest

from metrics_storage.errors import KubernetesError
from metrics_storage.kube.resources import STORAGES, Resource

Object = dict[str, Any]

_OTHER_UID: Final = "00000000-0000-4000-8000-000000000000"
_READY: Final = {"conditions": [], "observedGeneration": 1, "path": "/srv/runner-0"}
_EMPTY: Final = {"conditions": [], "observedGeneration": 1}


class Server(Protocol):
    """What `kube.api.Api` offers."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None: ...
    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> Object | None: ...
    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        subresource: str = "",
    ) -> Object | None: ...
    async def replace_status(
        self, resource: Resource, name: str, uid: str, status: Mapping[str, Any], namespace: str | None = None
    ) -> Object | None: ...
    async def delete(self, resource: Resource, name: str, uid: str, namespace: str | None = None) -> None: ...
    def list(self, resource: Resource, namespace: str | None = None, selector: str = "") -> AsyncIterator[Object]: ...


Connect = Callable[[], AbstractAsyncContextManager[Server]]
_Result = TypeVar("_Result")


class ServerContract:
    """Tests of the server that the fixture `connect` leads to; the fixture `namespace` has no MetricsStorages."""

    def test_what_is_there_is_not_created_again(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> None:
            made = await _make(server, namespace)
            assert await server.create(STORAGES, _storage("runner-0"), namespace) is None
            assert await server.get(STORAGES, "runner-0", namespace) == made

        _run(connect, rule)

    def test_what_is_absent_is_an_answer(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> None:
            assert await server.get(STORAGES, "runner-0", namespace) is None
            assert await server.patch(STORAGES, "runner-0", {"metadata": {}}, namespace) is None
            assert await server.replace_status(STORAGES, "runner-0", _OTHER_UID, _READY, namespace) is None
            await server.delete(STORAGES, "runner-0", _OTHER_UID, namespace)

        _run(connect, rule)

    def test_a_list_holds_what_its_labels_select(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> list[list[str]]:
            await _make(server, namespace, "runner-0", team="build", tier="one")
            await _make(server, namespace, "runner-1", team="build")
            await _make(server, namespace, "runner-2")
            return [
                sorted([item["metadata"]["name"] async for item in server.list(STORAGES, namespace, selector)])
                for selector in ("", "team=build", "team=build,tier=one", "tier", "team=other")
            ]

        every, build, both, tier, other = _run(connect, rule)
        assert (every, build) == (["runner-0", "runner-1", "runner-2"], ["runner-0", "runner-1"])
        assert (both, tier, other) == (["runner-0"], ["runner-0"], [])

    def test_another_one_of_its_name_is_neither_patched_nor_deleted(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> None:
            made = await _make(server, namespace)
            patch = {"metadata": {"uid": _OTHER_UID, "annotations": {"a": "b"}}}
            with pytest.raises(KubernetesError) as patched:
                await server.patch(STORAGES, "runner-0", patch, namespace)
            with pytest.raises(KubernetesError) as replaced:
                await server.replace_status(STORAGES, "runner-0", _OTHER_UID, _READY, namespace)
            await server.delete(STORAGES, "runner-0", _OTHER_UID, namespace)
            assert (patched.value.status, replaced.value.status) == (422, 422)
            assert await server.get(STORAGES, "runner-0", namespace) == made

        _run(connect, rule)

    def test_status_is_changed_by_its_subresource_alone(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> None:
            made = await _make(server, namespace)
            both = {"metadata": {"annotations": {"a": "b"}}, "spec": {"capacity": "2Gi"}, "status": _READY}
            by_status = await server.patch(STORAGES, "runner-0", both, namespace, "status")
            assert by_status is not None
            assert (by_status["status"], by_status["spec"]) == (_READY, made["spec"])
            other = {"metadata": {"annotations": {"a": "b"}}, "status": {"path": "/elsewhere"}}
            by_resource = await server.patch(STORAGES, "runner-0", other, namespace)
            assert by_resource is not None
            assert (by_resource["status"], by_resource["metadata"]["annotations"]) == (_READY, {"a": "b"})
            replaced = await server.replace_status(STORAGES, "runner-0", made["metadata"]["uid"], _EMPTY, namespace)
            assert replaced is not None
            assert replaced["status"] == _EMPTY

        _run(connect, rule)

    def test_a_change_of_the_spec_is_another_generation(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> None:
            made = await _make(server, namespace)
            labelled = await server.patch(STORAGES, "runner-0", {"metadata": {"labels": {"a": "b"}}}, namespace)
            changed = await server.patch(STORAGES, "runner-0", {"spec": {"deletionPolicy": "Retain"}}, namespace)
            assert labelled is not None
            assert changed is not None
            generations = [body["metadata"]["generation"] for body in (made, labelled, changed)]
            assert generations == [1, 1, 2]
            versions = {body["metadata"]["resourceVersion"] for body in (made, labelled, changed)}
            assert len(versions) == 3

        _run(connect, rule)

    def test_a_finalizer_keeps_what_is_deleted_until_it_is_taken_off(self, connect: Connect, namespace: str) -> None:
        async def rule(server: Server) -> None:
            made = await _make(server, namespace)
            hold = {"metadata": {"finalizers": ["example.org/hold"]}}
            await server.patch(STORAGES, "runner-0", hold, namespace)
            await server.delete(STORAGES, "runner-0", made["metadata"]["uid"], namespace)
            held = await server.get(STORAGES, "runner-0", namespace)
            assert held is not None
            assert "deletionTimestamp" in held["metadata"]
            await server.patch(STORAGES, "runner-0", {"metadata": {"finalizers": None}}, namespace)
            assert await server.get(STORAGES, "runner-0", namespace) is None

        _run(connect, rule)


def _run(connect: Connect, rule: Callable[[Server], Coroutine[Any, Any, _Result]]) -> _Result:
    async def run() -> _Result:
        async with connect() as server:
            return await rule(server)

    return asyncio.run(run())


def _storage(name: str, **labels: str) -> Object:
    return {
        "apiVersion": "metricsstorage.dev/v1",
        "kind": "MetricsStorage",
        "metadata": {"name": name, "labels": labels},
        "spec": {"capacity": "1Gi"},
    }


async def _make(server: Server, namespace: str, name: str = "runner-0", **labels: str) -> Object:
    made = await server.create(STORAGES, _storage(name, **labels), namespace)
    assert made is not None
    return made
