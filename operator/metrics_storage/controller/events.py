"""Kubernetes Events about MetricsStorages: explicit ones only, never in the way of the work."""

import logging
import socket
from datetime import UTC, datetime

from metrics_storage.errors import KubernetesError
from metrics_storage.kube.api import Api
from metrics_storage.kube.builders import build_event
from metrics_storage.kube.resources import EVENTS
from metrics_storage.model.identity import Identity

_log = logging.getLogger(__name__)


class Events:
    """Posts events and logs them; an API server that refuses one is a line in the log."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._instance = socket.gethostname()

    async def tell(self, identity: Identity, reason: str, message: str) -> None:
        """Say that something went as it should."""
        _log.info("%s: %s: %s", identity, reason, message)
        await self._post(identity, reason, message, normal=True)

    async def warn(self, identity: Identity, reason: str, message: str) -> None:
        """Say something that a person should look at."""
        _log.warning("%s: %s: %s", identity, reason, message)
        await self._post(identity, reason, message, normal=False)

    async def _post(self, identity: Identity, reason: str, message: str, *, normal: bool) -> None:
        event = build_event(
            identity,
            normal=normal,
            reason=reason,
            message=message,
            now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            instance=self._instance,
        )
        try:
            await self._api.create(EVENTS, event, identity.namespace)
        except KubernetesError as exc:
            _log.warning("%s: event %s could not be posted: %s", identity, reason, exc)
