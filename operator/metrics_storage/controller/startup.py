"""From settings to a running operator: open and lock the volumes, find where volumes point, start kopf."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import kopf

from metrics_storage import constants
from metrics_storage.controller.events import Events
from metrics_storage.controller.handlers import register
from metrics_storage.controller.health import Health, serve
from metrics_storage.controller.port import LocalEngine
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.settings import LogFormat, Settings
from metrics_storage.controller.sweep import Sweep
from metrics_storage.engine.engine import StorageEngine
from metrics_storage.engine.volume import Role, Volume
from metrics_storage.errors import SettingsError, VolumeError, VolumeLockedError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims
from metrics_storage.kube.gone import GoneWaiter
from metrics_storage.kube.lookup import Known, find_known, find_template
from metrics_storage.kube.volume_source import parse_volume_source

_log = logging.getLogger(__name__)

_LOCK_RETRY: Final = 2.0


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        SettingsError, VolumeError, VolumeSourceError, KubernetesError: it cannot start; nothing was touched.
    """
    source = parse_volume_source(settings.volume_source, settings.node_name)
    async with AsyncExitStack() as stack:
        health = Health(sweep_interval=settings.sweep_interval)
        await _serve_health(stack, health, settings)
        api = await stack.enter_async_context(await Api.connect())
        template = await find_template(api, source)
        storage, quarantine = _open_volumes(stack, settings, await find_known(api, settings.namespaces))
        await _lock(storage, health)

        engine = LocalEngine(
            StorageEngine(storage, quarantine, cluster=settings.cluster, node=settings.node_name or ""),
            workers=settings.workers,
            archive_workers=settings.archive_workers,
        )
        stack.callback(engine.close)
        claims = Claims(api, GoneWaiter(api, settings.namespaces), template, storage.id)
        reconciler = Reconciler(api, engine, claims, Events(api))
        sweep = Sweep(api, engine, reconciler, interval=settings.sweep_interval, namespaces=settings.namespaces)
        health.sweep_completed_at = lambda: sweep.completed_at
        await stack.enter_async_context(_background(sweep))
        await _run_kopf(settings, reconciler, health)


async def _serve_health(stack: AsyncExitStack, health: Health, settings: Settings) -> None:
    host, port = settings.health_address
    try:
        runner = await serve(health, host, port)
    except OSError as exc:
        raise SettingsError(f"health address {host}:{port}: {exc.strerror or exc}") from exc
    stack.push_async_callback(runner.cleanup)


def _open_volumes(stack: AsyncExitStack, settings: Settings, known: Known) -> tuple[Volume, Volume]:
    """Open both volumes; an empty directory becomes a new volume only in a cluster that knows of no older one."""
    new = not known.provisioned and not known.volume_ids
    storage = stack.enter_context(Volume(settings.storage_root, Role.STORAGE, initialise=new))
    quarantine = stack.enter_context(Volume(settings.quarantine_root, Role.QUARANTINE, initialise=new))
    if known.volume_ids and storage.id not in known.volume_ids:
        raise VolumeError(
            f"storage volume {storage.path} has id {storage.id}, but the cluster's volumes point into "
            f"{', '.join(sorted(known.volume_ids))}: mount the right one, nothing is done until then"
        )
    return storage, quarantine


async def _lock(storage: Volume, health: Health) -> None:
    """Wait until no other operator works on the storage volume, and say so meanwhile."""
    while True:
        try:
            storage.lock()
        except VolumeLockedError as exc:
            if health.waiting_for != str(exc):
                _log.warning("%s; waiting until it ends", exc)
            health.waiting_for = str(exc)
            await asyncio.sleep(_LOCK_RETRY)
        else:
            return


@asynccontextmanager
async def _background(sweep: Sweep) -> AsyncIterator[None]:
    task = asyncio.create_task(sweep.run(), name="sweep")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _run_kopf(settings: Settings, reconciler: Reconciler, health: Health) -> None:
    registry = kopf.OperatorRegistry()
    register(registry, reconciler)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=registry)
    def started(**_: Any) -> None:
        health.waiting_for = None
        _log.info("watching %s", ", ".join(settings.namespaces) or "all namespaces")

    await kopf.operator(
        registry=registry,
        settings=build_kopf_settings(settings),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )


def build_kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """kopf's settings, each for a reason that was measured or is documented by kopf."""
    result = kopf.OperatorSettings()
    # The default finalizer is shared by all kopf operators, and each removes it for the others.
    result.persistence.finalizer = constants.FINALIZER
    # Not our annotations' prefix, under which kopf would hide edits of the quarantine annotation.
    result.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=constants.KOPF_PREFIX)
    result.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=constants.KOPF_PREFIX)
    # Events are explicit and our own.
    result.posting.enabled = False
    # Discovery of namespaces and definitions needs cluster-wide rights that given namespaces do not.
    result.scanning.disabled = bool(settings.namespaces)
    # Without limits, watches and requests freeze silently on a connection that died.
    result.watching.server_timeout = 600
    result.watching.connect_timeout = 10
    result.networking.request_timeout = 60
    result.networking.connect_timeout = 10
    return result


def configure_logging(log_format: LogFormat) -> None:
    """Log to standard error, one line each."""
    kopf_format = kopf.LogFormat.JSON if log_format is LogFormat.JSON else kopf.LogFormat.FULL
    kopf.configure(log_format=kopf_format, log_prefix=True)
