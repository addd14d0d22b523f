"""A cluster in miniature: an HTTP server that keeps MetricsStorages, and an operator made of the real engine.

The server answers as the Kubernetes API does for what the library asks: 404, AlreadyExists, uid preconditions,
merge patches of metadata, pages, finalizers. Not responsible for anything else of Kubernetes.
"""

import json
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlparse

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.conditions import Condition
from metrics_storage.model.identity import Identity
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from metrics_storage.model.status import Findings, build_status

Object = dict[str, Any]

ANNOTATION = "metricsstorage.dev/quarantine"
NOW = "2024-01-01T00:00:00Z"


class ApiServer:
    """The API server. `requests` are method and address of all that came; `failures` are answered in order,
    after the next `let_pass` requests."""

    def __init__(self, operator: Callable[[Object], bool] = lambda body: False) -> None:
        """Call `operator` with a resource after each change; True means that its finalizer goes."""
        self.objects: dict[str, Object] = {}
        self.requests: list[str] = []
        self.failures: list[tuple[int, Object]] = []
        self.let_pass = 0
        self.page_size = 500
        self._operator = operator
        self._lock = threading.Lock()

        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, answer = api.answer(self.command, self.path, json.loads(self.rfile.read(size) or b"null"))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        named = {"name": "test"}
        cluster = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{**named, "cluster": cluster}],
            "users": [{**named, "user": {"token": "token"}}],
            "contexts": [{**named, "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(json.dumps(config))
        return path

    def answer(self, method: str, address: str, body: Any) -> tuple[int, Object]:
        """Status and body of the answer to a request."""
        url = urlparse(address)
        with self._lock:
            self.requests.append(f"{method} {url.path}")
            self.let_pass -= 1
            if self.failures and self.let_pass < 0:
                return self.failures.pop(0)
            plural_or_name = url.path.rsplit("/", 1)[-1]
            if plural_or_name == "metricsstorages" and method == "GET":
                return self._list(parse_qs(url.query))
            if method == "POST":
                return self._create(body)
            return self._on_object(method, plural_or_name, body)

    def add(self, name: str, status: Object | None = None, **metadata: Any) -> Object:
        """Put a resource there that nobody's request made."""
        body: Object = {"metadata": {"name": name, "uid": str(uuid.uuid4()), "generation": 1, **metadata}}
        self.objects[name] = {**body, "status": status or {}}
        return self.objects[name]

    def _list(self, query: dict[str, list[str]]) -> tuple[int, Object]:
        assert query.keys() <= {"limit", "continue"}, f"this server knows no {query}"
        start = int(query.get("continue", ["0"])[0])
        end = start + min(self.page_size, int(query["limit"][0]))
        names = sorted(self.objects)
        metadata = {"continue": str(end)} if end < len(names) else {}
        return 200, {"metadata": metadata, "items": [self.objects[name] for name in names[start:end]]}

    def _create(self, body: Object) -> tuple[int, Object]:
        name = body["metadata"]["name"]
        if name in self.objects:
            return 409, failure("AlreadyExists", f"metricsstorages {name!r} already exists")
        body["metadata"] |= {"uid": str(uuid.uuid4()), "generation": 1}
        self.objects[name] = body
        created = json.loads(json.dumps(body))
        self._operate(name)
        return 201, created

    def _on_object(self, method: str, name: str, body: Any) -> tuple[int, Object]:
        if name not in self.objects:
            return 404, failure("NotFound", f"metricsstorages {name!r} not found")
        found = self.objects[name]
        metadata = found["metadata"]
        if method == "GET":
            return 200, found
        given = body["preconditions"]["uid"] if method == "DELETE" else body["metadata"].get("uid")
        if given not in (None, metadata["uid"]):
            if method == "DELETE":
                return 409, failure("Conflict", "the uid in the precondition differs")
            return 422, failure("Invalid", "metadata.uid: field is immutable")
        if method == "DELETE":
            if "deletionTimestamp" not in metadata:
                metadata |= {"deletionTimestamp": NOW, "generation": metadata["generation"] + 1}
        else:
            metadata["annotations"] = {**metadata.get("annotations", {}), **body["metadata"]["annotations"]}
        self._operate(name)
        return 200, found

    def _operate(self, name: str) -> None:
        if self._operator(self.objects[name]):
            del self.objects[name]


def failure(reason: str, message: str) -> Object:
    """The body of an answer that is a failure."""
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message}


def conditions(*given: Condition, generation: int = 1) -> list[Object]:
    """Conditions as they stand in a status."""
    return [
        {
            "type": condition.type,
            "status": str(condition.status),
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": NOW,
        }
        for condition in given
    ]


class Operator:
    """What the operator does to a resource, at once, with the real engine on local volumes."""

    def __init__(self, storage_root: Path, quarantine_root: Path, owner: str) -> None:
        for root in (storage_root, quarantine_root):
            root.mkdir(exist_ok=True)
        self._storage = Volume(storage_root, Role.STORAGE, initialise=True)
        self._quarantine = Volume(quarantine_root, Role.QUARANTINE, initialise=True)
        self._engine = StorageEngine(self._storage, LocalVault(self._quarantine))
        self._spec = StorageSpec(owner=owner)

    def close(self) -> None:
        """Close the volumes."""
        self._quarantine.close()
        self._storage.close()

    def __call__(self, body: Object) -> bool:
        metadata = body["metadata"]
        identity = Identity(metadata["namespace"], metadata["name"], metadata["uid"])
        record = self._engine.find(identity.uid) or self._engine.ensure(identity, self._spec).record
        if reason := metadata.get("annotations", {}).get(ANNOTATION):
            self._engine.latch(identity, reason, NOW)
            record = self._engine.archive(identity)
        deleting = "deletionTimestamp" in metadata
        if deleting or record.quarantine:
            record = self._engine.remove(identity)
        path = self._storage.path / identity.namespace / identity.directory_name
        findings = Findings(
            record=record, bound=record.phase is Phase.PROVISIONED, deleting=deleting, path=str(path), node_name="n"
        )
        body["status"] = build_status(
            findings, body.get("status", {}), uid=metadata["uid"], generation=metadata["generation"], now=NOW
        )
        return deleting
