"""Claims that wait for their first consumer: the scheduler has chosen a node, and the directory is made there."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from metrics_storage.constants import UID_LABEL
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import STORAGES
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.identity import Uid

_log = logging.getLogger(__name__)


class Consumers:
    """Has each claim provided for whose node was chosen, until it is or its MetricsStorage goes."""

    def __init__(self, api: Api, reconciler: Reconciler) -> None:
        self._api = api
        self._reconciler = reconciler
        self._providing: dict[Uid, asyncio.Task[None]] = {}
        self._chosen_since: set[Uid] = set()
        """Those for which a node was chosen while an earlier choice was looked at."""

    def serve(self, claim: Mapping[str, Any]) -> None:
        """Provide for a claim on the node that was chosen for it, while others are provided for."""
        metadata = claim["metadata"]
        uid = Uid.parse(metadata["labels"].get(UID_LABEL, ""))
        if uid is None:
            return
        self._chosen_since.add(uid)
        if uid not in self._providing:
            self._providing[uid] = asyncio.create_task(self._provide(uid, metadata["namespace"], metadata["name"]))

    async def close(self) -> None:
        """Leave everything to the next start."""
        for task in self._providing.values():
            task.cancel()
        await asyncio.gather(*self._providing.values(), return_exceptions=True)

    async def _provide(self, uid: Uid, namespace: str, name: str) -> None:
        try:
            while uid in self._chosen_since:
                self._chosen_since.discard(uid)
                try:
                    body = await self._api.get(STORAGES, name, namespace)
                    if body is not None and body["metadata"]["uid"] == uid:
                        await self._reconciler.consume(body)
                except Exception as exc:
                    problem = explain(exc)
                    _log.warning("%s/%s waits on its node: %s", namespace, name, problem.message)
                    self._chosen_since.add(uid)
                    await asyncio.sleep(problem.retry_after)
        finally:
            del self._providing[uid]
