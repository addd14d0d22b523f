"""MetricsStorages of one namespace, as a client without any knowledge of the schema sees them."""

import copy
import uuid
from dataclasses import dataclass
from typing import Any, Final, Protocol

API: Final = "/apis/metricsstorage.dev/v1/namespaces/runners/metricsstorages"
MERGE_PATCH: Final = "application/merge-patch+json"


class Server(Protocol):
    """What these tests need from the fixture `crd_server`."""

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """Send one request; gives the status code and the decoded body."""

    def install(self, crd: dict[str, Any]) -> None:
        """Create a definition and wait until it is served."""


@dataclass(frozen=True)
class Answer:
    """What the server said. `code` is the HTTP status, `body` the object or a Status."""

    code: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        """Whether the server took the request."""
        return self.code in (200, 201)

    @property
    def message(self) -> str:
        """The server's words, also for pytest to show."""
        return str(self.body.get("message", self.body))

    @property
    def causes(self) -> dict[str, list[str]]:
        """The messages of a refusal by the field that they are about."""
        found: dict[str, list[str]] = {}
        for cause in self.body.get("details", {}).get("causes", []):
            found.setdefault(cause["field"], []).append(cause["message"])
        return found


class Collection:
    """The requests of these tests; nothing here interprets an answer."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def create(self, name: str | None = None, **fields: Any) -> Answer:
        """Create a MetricsStorage with these top-level fields, under a fresh name where none is given."""
        return self.create_object(
            {
                "apiVersion": "metricsstorage.dev/v1",
                "kind": "MetricsStorage",
                "metadata": {"name": name if name is not None else f"runner-{uuid.uuid4().hex}"},
                **fields,
            }
        )

    def create_object(self, body: dict[str, Any]) -> Answer:
        """Create this object as it is."""
        return Answer(*self._server.request("POST", API, body))

    def made(self, **fields: Any) -> dict[str, Any]:
        """Create as `create` does, where being refused is not what the test is about."""
        answer = self.create(**fields)
        if not answer.accepted:
            raise AssertionError(f"could not prepare an object with {fields}: {answer.message}")
        return answer.body

    def get(self, body: dict[str, Any]) -> dict[str, Any]:
        """Read the object of that name."""
        return Answer(*self._server.request("GET", _path(body))).body

    def put(self, body: dict[str, Any], subresource: str = "", **fields: Any) -> Answer:
        """Replace the object by a copy of `body` with these top-level fields."""
        changed = {**copy.deepcopy(body), **fields}
        return Answer(*self._server.request("PUT", _path(body) + subresource, changed))

    def patch(self, body: dict[str, Any], subresource: str = "", **fields: Any) -> Answer:
        """Merge these top-level fields into the object of that name."""
        return Answer(*self._server.request("PATCH", _path(body) + subresource, fields, content_type=MERGE_PATCH))


def _path(body: dict[str, Any]) -> str:
    return f"{API}/{body['metadata']['name']}"
