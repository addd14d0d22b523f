"""Requests to the Kubernetes API for code without an event loop, on the official client's transport.

The twin of `api` for the library: the same meaning of answers, no asyncio. Threads may share a client.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

try:
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed, which storages in a cluster need: "
        "pip install 'metrics-storage-operator[kubernetes]'",
        name=missing.name,
    ) from missing

from metrics_storage.errors import KubernetesError
from metrics_storage.kube.kubeconfig import kubeconfig_of
from metrics_storage.kube.protocol import (
    ABSENT,
    PRESENT,
    build_delete_options,
    build_headers,
    build_list_query,
    next_page,
    read_answer,
)
from metrics_storage.kube.resources import Resource

_TIMEOUT: Final = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""


class Client:
    """Connections to one API server."""

    def __init__(self, configuration: client.Configuration) -> None:
        # Whoever calls knows whether a request may be repeated; urllib3 does not.
        configuration.retries = False
        self._client = client.ApiClient(configuration)

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
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
            config.load_kube_config(kubeconfig_of(kubeconfig), context=context, client_configuration=configuration)
        except (config.ConfigException, OSError) as exc:
            raise KubernetesError(f"no cluster is configured: {exc}; set KUBECONFIG or run in a Pod") from exc
        return cls(configuration)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, None where there is none."""
        return self._request("GET", resource.path(namespace, name), answer=ABSENT)

    def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any] | None:
        """The created object, None where one of that name exists already."""
        return self._request("POST", resource.path(namespace), body=body, answer=PRESENT)

    def patch(
        self, resource: Resource, name: str, body: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any] | None:
        """The object after a merge patch, None where there is none.

        Put `metadata.uid` into the body to patch this very object: another one of its name is a conflict.
        """
        return self._request("PATCH", resource.path(namespace, name), body=body, answer=ABSENT)

    def delete(self, resource: Resource, name: str, uid: str, namespace: str | None = None) -> None:
        """Ask for the deletion of this very object; absent, or another one of its name, is success."""
        try:
            self._request("DELETE", resource.path(namespace, name), body=build_delete_options(uid), answer=ABSENT)
        except KubernetesError as exc:
            if exc.status != PRESENT:
                raise

    def list(self, resource: Resource, namespace: str | None = None, selector: str = "") -> Iterator[dict[str, Any]]:
        """Every object, page by page, of one namespace or of all."""
        token = ""
        while page := self._request("GET", resource.path(namespace), query=build_list_query(selector, token)):
            yield from page["items"]
            token = next_page(page)
            if not token:
                return

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        answer: int | None = None,
    ) -> dict[str, Any] | None:
        """Send one request; an answer with status `answer` is None."""
        try:
            request = self._client.param_serialize(
                method=method,
                resource_path=path,
                query_params=[(key, value) for key, value in (query or {}).items() if value],
                header_params=build_headers(method),
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._client.call_api(*request, _request_timeout=_TIMEOUT)
            data = response.read()
        except (HTTPError, client.ApiException, OSError) as exc:
            raise KubernetesError(f"{method} {path}: {str(exc) or type(exc).__name__}") from exc
        return read_answer(method, path, response.status, data, answer)
