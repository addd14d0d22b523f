"""Liveness and readiness of an agent over HTTP, in a thread: a library for more would cost every node memory."""

import http.server
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_HUNG: Final = 60.0
"""Seconds without a turn of the event loop after which the process counts as hung."""


@dataclass
class AgentHealth:
    """What the probes tell: None where all is well, otherwise what is not."""

    waiting_for: str | None = "start"
    connected: Callable[[], bool] = field(default=lambda: False)
    lost_volume: Callable[[], str | None] = field(default=lambda: None)
    turned_at: float = field(default_factory=time.monotonic)
    """When the event loop turned last."""

    def live(self) -> str | None:
        """Why a new process would help."""
        silent = time.monotonic() - self.turned_at
        return f"the event loop has not turned for {silent:.0f} s" if silent > _HUNG else self.lost_volume()

    def ready(self) -> str | None:
        """Why this agent serves nobody."""
        if self.waiting_for:
            return f"waiting: {self.waiting_for}"
        return None if self.connected() else "not connected to the controller"


def serve(health: AgentHealth, host: str, port: int) -> Callable[[], None]:
    """Answer `/livez` and `/readyz` until what is returned is called.

    Raises:
        OSError: nothing can listen there.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/livez": health.live, "/readyz": health.ready}
            answer = answers.get(self.path)
            problem = answer() if answer else "there is nothing here"
            body = f"{problem or 'ok'}\n".encode()
            self.send_response(404 if answer is None else 503 if problem else 200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not worth a line."""

    server = http.server.ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
