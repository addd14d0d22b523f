"""What is sent to and comes back from an API server, whatever transport carries it. No I/O.

States once what 404 and 409 mean: absent on get, patch and delete is an answer, present on create is one too;
everything else is an error.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from metrics_storage.errors import KubernetesError

PAGE: Final = 500
"""Objects in one page of a list, as kubectl asks for them."""

ABSENT: Final = 404
PRESENT: Final = 409


def build_headers(method: str, body: object = None) -> dict[str, str]:
    """Headers of a request; a patch is a JSON patch where it is a list of operations, else a merge patch."""
    kind = "json-patch+json" if isinstance(body, list) else "merge-patch+json"
    content_type = f"application/{kind}" if method == "PATCH" else "application/json"
    return {"Accept": "application/json", "Content-Type": content_type}


def build_list_query(selector: str, token: str) -> dict[str, str]:
    """Query of one page of a list; `token` is empty for the first."""
    return {"limit": str(PAGE), "labelSelector": selector, "continue": token}


def build_delete_options(uid: str) -> dict[str, Any]:
    """Body of a DELETE that means this very object, and no later one of its name."""
    return {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}


def build_status_replacement(uid: str, status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """JSON patch of a status that means this very object.

    A merge patch that names the uid would not do: for status of custom resources the API server ignores it.
    """
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": dict(status)},
    ]


def next_page(page: Mapping[str, Any]) -> str:
    """Token of the page after this one, empty after the last."""
    return str(page["metadata"].get("continue", ""))


def read_answer(method: str, path: str, status: int, data: bytes, answer: int | None) -> dict[str, Any] | None:
    """The object in an answer, None where its HTTP status is the one that is an answer itself.

    Raises:
        KubernetesError: any other status of 400 and more, with the API server's message; or no JSON, as proxies send.
    """
    if status == answer and not _is_conflict(method, data):
        return None
    if status >= 400:
        raise KubernetesError(f"{method} {path}: {status} {_message(data)}", status)
    try:
        result: dict[str, Any] = json.loads(data)
    except ValueError as exc:
        raise KubernetesError(f"{method} {path}: {status}, but no JSON: {_message(data)}", status) from exc
    return result


def _is_conflict(method: str, data: bytes) -> bool:
    """A 409 to a POST can also mean that the namespace is being deleted; only AlreadyExists is an answer."""
    return method == "POST" and _status(data).get("reason") != "AlreadyExists"


def _message(data: bytes) -> str:
    return str(_status(data).get("message") or data[:200].decode(errors="replace"))


def _status(data: bytes) -> dict[str, Any]:
    try:
        status = json.loads(data)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
