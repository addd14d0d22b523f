"""Plain HTTPS requests to an API server: bearer token, certificate verified, JSON in and out.

For what kubectl cannot do (readiness of a server that is just starting, a server without discovery).
Not a Kubernetes client: no retries, no watches, no paging.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Endpoint"]


@dataclass(frozen=True)
class Endpoint:
    """One HTTPS server on this machine and how to be recognised there."""

    port: int
    ca_file: Path
    token: str  # empty: anonymous
    host: str = "127.0.0.1"

    def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        content_type: str = "application/json",
        *,
        timeout: float = 30.0,
    ) -> tuple[int, dict[str, Any]]:
        """Send one request, `body` as JSON; returns the status and the decoded answer.

        An answer that is no JSON object is returned as {"text": …}. Raises OSError (ssl.SSLError among
        them) and http.client.HTTPException when there is no answer within `timeout` seconds.
        """
        # http.client and not urllib: it takes no proxy from the environment.
        connection = http.client.HTTPSConnection(
            self.host,
            self.port,
            timeout=timeout,
            context=ssl.create_default_context(cafile=str(self.ca_file)),
        )
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            connection.request(method, path, body=payload, headers=headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        return response.status, answer if isinstance(answer, dict) else {"text": text}
