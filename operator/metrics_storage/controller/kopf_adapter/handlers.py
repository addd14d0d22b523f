"""kopf's handlers: register, call, translate. What has to happen is the reconciler's business.

Deletion and quarantine raise `kopf.TemporaryError` alone, without limits of any kind: kopf releases the
finalizer after a PermanentError, after exhausted retries, and when a filtered handler stops matching.
"""

import logging
import random
from collections.abc import Mapping
from typing import Any, Final

import kopf

from metrics_storage import constants
from metrics_storage.controller.consumers import Consumers
from metrics_storage.controller.kopf_adapter.storage import Bookkeeping
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.kube.claims import selected_node
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.identity import Uid
from metrics_storage.model.resource import StorageResource

_log = logging.getLogger(__name__)

_CHANGE: Final = "change"
_DELETE: Final = "delete"
_GONE: Final = "gone"
_SELECTED: Final = "selected"
"""Ids of the handlers, under which kopf remembers how far each is."""


def register(
    registry: kopf.OperatorRegistry,
    reconciler: Reconciler,
    bookkeeping: Bookkeeping,
    consumers: Consumers | None = None,
) -> None:
    """Register every handler for MetricsStorages, and with `consumers` the one for claims that wait for them."""
    resource = (constants.GROUP, constants.VERSION, constants.PLURAL)

    @kopf.on.resume(*resource, id=_CHANGE, registry=registry)
    @kopf.on.create(*resource, id=_CHANGE, registry=registry)
    @kopf.on.update(*resource, id=_CHANGE, registry=registry)
    async def on_change(body: kopf.Body, **_: Any) -> None:
        try:
            await reconciler.reconcile(body)
        except Exception as exc:
            # Where a person must act, an edit or the sweep comes back here; a timer would only delay the edit.
            # Not so on the way to quarantine, which no edit can change and the sweep leaves alone.
            resource = StorageResource(body)
            if not explain(exc).stalled or resource.is_flagged or await reconciler.is_latched(body):
                raise again(exc) from exc

    @kopf.on.delete(*resource, id=_DELETE, registry=registry)
    async def on_delete(body: kopf.Body, **_: Any) -> None:
        try:
            await reconciler.finalize(body)
        except Exception as exc:
            raise again(exc) from exc

    @kopf.on.event(*resource, id=_GONE, registry=registry, when=_has_gone)
    async def on_gone(uid: str, body: kopf.Body, **_: Any) -> None:
        bookkeeping.forget(uid)
        try:
            await reconciler.forget(Uid(uid), StorageResource(body).storage_volume_id)
        except Exception as exc:
            _log.warning("journal entry %s is left to the sweep: %s", uid, exc)

    if consumers is not None:

        @kopf.on.event("persistentvolumeclaims", id=_SELECTED, registry=registry, when=_is_selected)
        async def on_selected(body: kopf.Body, **_: Any) -> None:
            consumers.serve(body)


def again(exc: Exception) -> kopf.TemporaryError:
    """The one answer to every error: keep the data and come back, not all at the same moment."""
    problem = explain(exc)
    delay = problem.retry_after * random.uniform(0.8, 1.2)  # noqa: S311
    return kopf.TemporaryError(f"{problem.reason}: {problem.message}", delay=delay)


def _is_selected(body: kopf.Body, **_: Any) -> bool:
    return selected_node(body) is not None and not body["spec"].get("volumeName")


def _has_gone(event: Mapping[str, Any], **_: Any) -> bool:
    return bool(event["type"] == "DELETED")
