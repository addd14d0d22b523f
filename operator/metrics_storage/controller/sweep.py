"""The sweep: one loop that measures usage, notices drift that no event tells of, and reports what has no owner."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from metrics_storage.constants import MANAGED_SELECTOR, UID_LABEL
from metrics_storage.controller.port import Engine
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.errors import MetricsStorageError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import is_bound
from metrics_storage.kube.resources import CLAIMS, STORAGES, VOLUMES, Resource
from metrics_storage.model.record import Phase
from metrics_storage.model.trouble import explain

_log = logging.getLogger(__name__)


class Sweep:
    """Looks at every MetricsStorage, claim, volume and journal entry at a steady pace."""

    def __init__(
        self,
        api: Api,
        engine: Engine,
        reconciler: Reconciler,
        *,
        interval: float,
        namespaces: Sequence[str] = (),
    ) -> None:
        """Look every `interval` seconds at the given namespaces, or at all."""
        self._api = api
        self._engine = engine
        self._reconciler = reconciler
        self._interval = interval
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._reported: frozenset[str] = frozenset()
        self.completed_at = time.monotonic()

    async def run(self) -> None:
        """Sweep until cancelled. A sweep that fails is logged, and the next one begins at its time."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.once()
            except Exception as exc:
                _log.warning("the sweep was cut short and begins anew in %g s: %s", self._interval, exc)
            # Also a failed sweep shows that this process is alive; a restart would not mend the API server.
            self.completed_at = time.monotonic()

    async def once(self) -> None:
        """Look at everything once."""
        # In this order: what the journal knew before the list was made must be in the list, or has no owner.
        known = await self._known()
        living = {body["metadata"]["uid"]: body for body in await self._list(STORAGES)}
        claims = _by_uid(await self._list(CLAIMS, MANAGED_SELECTOR))
        volumes = _by_uid(await self._list(VOLUMES, MANAGED_SELECTOR))
        for uid, body in living.items():
            if "deletionTimestamp" in body["metadata"]:
                continue  # Its handler goes on by itself.
            try:
                bound = is_bound(claims.get(uid), volumes.get(uid))
                await self._reconciler.reconcile(body, bound=bound, measure=True)
            except Exception as exc:
                _log.warning("%s", explain(exc).message)
        for uid in known - living.keys():
            await self._reconciler.forget(uid)
        left = known & await self._known() if known else known
        await self._report_orphans((left | volumes.keys()) - living.keys())

    async def _known(self) -> set[str]:
        """The uids in the journal; none where the volume is not there, which every MetricsStorage will say."""
        try:
            return set(await self._engine.uids())
        except MetricsStorageError as exc:
            _log.warning("%s", exc)
            return set()

    async def _report_orphans(self, uids: set[str]) -> None:
        """Say once what is kept although its MetricsStorage is gone: somebody took our finalizer off."""
        for uid in uids - self._reported:
            record = await self._engine.find(uid)
            if record and record.phase is Phase.RETAINED:
                continue
            what = f"{record.identity}: directory {record.phase}" if record else f"volume ms-{uid}"
            _log.warning("orphan: %s has no MetricsStorage any more; it is kept until a person removes it", what)
        self._reported = frozenset(uids)

    async def _list(self, resource: Resource, selector: str = "") -> list[dict[str, Any]]:
        namespaces = self._namespaces if resource.namespaced else [None]
        return [item for namespace in namespaces async for item in self._api.list(resource, namespace, selector)]


def _by_uid(objects: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {item["metadata"]["labels"][UID_LABEL]: item for item in objects if UID_LABEL in item["metadata"]["labels"]}
