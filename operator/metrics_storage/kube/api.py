"""Requests to the Kubernetes API on the official client's transport: dicts in, dicts out."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio import client, config

from metrics_storage.errors import KubernetesError
from metrics_storage.kube.kubeconfig import kubeconfig_of
from metrics_storage.kube.protocol import (
    ABSENT,
    PRESENT,
    build_delete_options,
    build_headers,
    build_list_query,
    build_status_replacement,
    next_page,
    read_answer,
)
from metrics_storage.kube.resources import Resource

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)
"""Seconds: long enough for a slow list, short enough that a dead connection is noticed."""

_CONNECTIONS: Final = 64


class Api:
    """A connection pool to one API server. Open it inside a running event loop."""

    def __init__(self, configuration: client.Configuration) -> None:
        configuration.connection_pool_maxsize = _CONNECTIONS
        configuration.retries = 0
        self._client = client.ApiClient(configuration)
        self._places = asyncio.Semaphore(_CONNECTIONS)

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """Connect as the Pod's service account, or as a kubeconfig says where there is no Pod.

        Raises:
            KubernetesError: neither is there.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is None and context is None:
                try:
                    config.load_incluster_config(client_configuration=configuration)
                    return cls(configuration)
                except config.ConfigException:
                    pass
            await config.load_kube_config(
                kubeconfig_of(kubeconfig), context=context, client_configuration=configuration
            )
        except (config.ConfigException, OSError) as exc:
            raise KubernetesError(f"no cluster is configured: {exc}; set KUBECONFIG or run in a Pod") from exc
        return cls(configuration)

    @property
    def server(self) -> str:
        """Where the API server is, as a URL; in a Pod by its address, so that no name has to be resolved."""
        return str(self._client.configuration.host)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, None where there is none."""
        return await self._request("GET", resource.path(namespace, name), answer=ABSENT)

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any] | None:
        """The created object, None where one of that name exists already."""
        return await self._request("POST", resource.path(namespace), body=body, answer=PRESENT)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        subresource: str = "",
    ) -> dict[str, Any] | None:
        """The object after a merge patch, None where there is none.

        Put `metadata.uid` into the body to patch this very claim or volume: another one of its name is refused.
        """
        return await self._request("PATCH", resource.path(namespace, name, subresource), body=body, answer=ABSENT)

    async def replace_status(
        self, resource: Resource, name: str, uid: str, status: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any] | None:
        """This very object with another status, None where there is none; another one of its name is refused."""
        body = build_status_replacement(uid, status)
        return await self._request("PATCH", resource.path(namespace, name, "status"), body=body, answer=ABSENT)

    async def delete(self, resource: Resource, name: str, uid: str, namespace: str | None = None) -> None:
        """Ask for the deletion of this very object; absent, or another one of its name, is success."""
        body = build_delete_options(uid)
        try:
            await self._request("DELETE", resource.path(namespace, name), body=body, answer=ABSENT)
        except KubernetesError as exc:
            if exc.status != PRESENT:
                raise

    async def list(
        self, resource: Resource, namespace: str | None = None, selector: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Every object, page by page, of one namespace or of all; without what says who manages which field."""
        token = ""
        while True:
            page = await self._request("GET", resource.path(namespace), query=build_list_query(selector, token))
            if page is None:
                return
            for item in page["items"]:
                item["metadata"].pop("managedFields", None)  # Most of an object, and nobody here reads it.
                yield item
            token = next_page(page)
            if not token:
                return

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[dict[str, Any]] | None = None,
        answer: int | None = None,
    ) -> dict[str, Any] | None:
        """Send one request; an answer with status `answer` is None."""
        try:
            request = await self._client.param_serialize(
                method=method,
                resource_path=path,
                query_params=[(key, value) for key, value in (query or {}).items() if value],
                header_params=build_headers(method, body),
                body=body,
                auth_settings=["BearerToken"],
            )
            # Not by the pool: waiting for a place in it would count as connecting, and time out in a burst.
            async with self._places:
                response = await self._client.call_api(*request, _request_timeout=_TIMEOUT)
                data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            raise KubernetesError(f"{method} {path}: {str(exc) or type(exc).__name__}") from exc
        return read_answer(method, path, response.status, data, answer)
