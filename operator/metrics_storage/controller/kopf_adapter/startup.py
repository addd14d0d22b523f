"""From settings to a running operator: open and lock the volumes, find where volumes point, start kopf."""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import kopf

from metrics_storage import constants
from metrics_storage.controller.events import Events
from metrics_storage.controller.health import Health, serve
from metrics_storage.controller.kopf_adapter.handlers import register
from metrics_storage.controller.kopf_adapter.storage import Bookkeeping
from metrics_storage.controller.metrics import build_metrics
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.scrub import Scrub
from metrics_storage.controller.settings import LogFormat, Settings
from metrics_storage.controller.site import OneSite, Site
from metrics_storage.controller.sweep import Sweep
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.host import LocalEngine, LocalScrubber
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.engine.volume.volume_pair import open_pair
from metrics_storage.errors import SettingsError, VolumeError, VolumeLockedError, VolumeLostError, WatchLostError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.discovery import Known, find_known, find_template
from metrics_storage.kube.volume_ids import check_remembered, recall, remember
from metrics_storage.kube.volume_source import parse_volume_source
from metrics_storage.model.identity import Uid

_log = logging.getLogger(__name__)

_LOCK_RETRY: Final = 2.0


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        asyncio.CancelledError: SIGTERM came before kopf ran; nothing was touched.
        SettingsError, VolumeError, VolumeSourceError, KubernetesError: it cannot start; nothing was touched.
        WatchLostError: it must be started anew.
    """
    _end_by_sigterm()
    source = parse_volume_source(settings.volume_source, settings.node_name)
    async with AsyncExitStack() as stack:
        health = Health(sweep_interval=settings.sweep_interval)
        await _serve_health(stack, health, settings)
        api = await stack.enter_async_context(await Api.connect())
        template = await find_template(api, source)
        storage, quarantine = await _find_volumes(stack, settings, api)
        await _lock(storage, health)
        for volume in (storage, quarantine):
            volume.probe()
        health.lost_volume = partial(_lost_volume, storage, quarantine)

        disk = StorageEngine(storage, LocalVault(quarantine, Origin(settings.cluster, settings.node_name or "")))
        engine = LocalEngine(disk, workers=settings.workers, archive_workers=settings.archive_workers)
        stack.callback(engine.close)
        claims = Claims(api, DeletionWaiter(api, settings.namespaces), template, storage.id)
        site = Site(engine, Uid(storage.id), template, claims)
        sites = OneSite(site, f"{constants.VOLUME_ID_LABEL}={storage.id}")
        events = Events(api)
        reconciler = Reconciler(api, sites, events)
        bookkeeping = Bookkeeping()
        sweep = Sweep(
            api,
            sites,
            reconciler,
            interval=settings.sweep_interval,
            watched=bookkeeping.knows,
            namespaces=settings.namespaces,
        )
        health.sweep_completed_at = lambda: sweep.completed_at
        scrubber = LocalScrubber(quarantine, disk, rate=settings.scrub_rate)
        scrub = Scrub(scrubber, events, interval=settings.scrub_interval)
        health.metrics = build_metrics(scrubber, sweep)
        await stack.enter_async_context(_background(sweep))
        await stack.enter_async_context(_background(scrub))
        stack.callback(scrubber.close)
        if await _run_kopf(settings, reconciler, health, bookkeeping, server=api.server, stop=sweep.watch_lost):
            raise WatchLostError(
                "the API server has MetricsStorages that no watch tells of; was the definition deleted and applied "
                "again, or does the log tell of requests that failed? Nothing was lost: start the operator anew, as "
                "Kubernetes does by itself"
            )


async def _serve_health(stack: AsyncExitStack, health: Health, settings: Settings) -> None:
    host, port = settings.health_address
    try:
        runner = await serve(health, host, port)
    except OSError as exc:
        raise SettingsError(f"health address {host}:{port}: {exc.strerror or exc}") from exc
    stack.push_async_callback(runner.cleanup)


async def _find_volumes(stack: AsyncExitStack, settings: Settings, api: Api) -> tuple[Volume, Volume]:
    """Open both volumes as the cluster knows them, and have it know them from now on."""
    namespace = settings.operator_namespace
    remembered = await recall(api, namespace) if namespace else {}
    known = await find_known(api, settings.namespaces)
    storage, quarantine = _open_volumes(stack, settings, known, remembered)
    ids = {volume.role.value: volume.id for volume in (storage, quarantine)}
    if namespace:
        check_remembered(remembered, namespace, ids)
        if not remembered:
            await remember(api, namespace, ids)
    return storage, quarantine


def _open_volumes(
    stack: AsyncExitStack, settings: Settings, known: Known, remembered: Mapping[str, str]
) -> tuple[Volume, Volume]:
    """Open both volumes; an empty directory becomes a new volume only in a cluster that knows of no older one."""
    volumes = stack.enter_context(ExitStack())
    new = not known.provisioned and not known.volume_ids and not remembered
    storage, quarantine = open_pair(volumes, settings.storage_root, settings.quarantine_root, new=new)
    if known.volume_ids and storage.id not in known.volume_ids:
        raise VolumeError(
            f"storage volume {storage.path} has id {storage.id}, but the cluster's volumes point into "
            f"{', '.join(sorted(known.volume_ids))}: mount that one. If it is lost, say so by "
            f"kubectl delete pv --wait=false -l {constants.VOLUME_ID_LABEL}=<the lost id>"
        )
    return storage, quarantine


def _lost_volume(*volumes: Volume) -> str | None:
    for volume in volumes:
        try:
            volume.require_present()
        except VolumeLostError as exc:
            return str(exc)
        except VolumeError:
            pass  # Whatever else is wrong with it, a new container would not mend.
    return None


def _end_by_sigterm() -> None:
    """Have SIGTERM cancel this task until kopf, which sees to signals itself, runs.

    Without a handler the first process of a container ignores it, and Kubernetes waits for the whole grace period.
    """
    starting = asyncio.current_task()
    if starting is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, starting.cancel)


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
async def _background(loop: Sweep | Scrub) -> AsyncIterator[None]:
    task = asyncio.create_task(loop.run(), name=type(loop).__name__.lower())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _run_kopf(
    settings: Settings,
    reconciler: Reconciler,
    health: Health,
    bookkeeping: Bookkeeping,
    *,
    server: str,
    stop: asyncio.Event,
) -> bool:
    """Serve until SIGTERM or `stop`; whether it was that which ended it."""
    stopped = False
    registry = kopf.OperatorRegistry()
    register(registry, reconciler, bookkeeping)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        in_pod = kopf.login_with_service_account(**kwargs)
        # kopf would resolve a name, and do nothing for as long as the cluster's DNS does not answer.
        return replace(in_pod, server=server) if in_pod else kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=registry)
    def started(**_: Any) -> None:
        health.waiting_for = None
        _log.info("watching %s", ", ".join(settings.namespaces) or "all namespaces")

    @kopf.on.cleanup(registry=registry)
    def ending(**_: Any) -> None:
        nonlocal stopped
        stopped = stop.is_set()
        # Otherwise kopf waits 5 s for its own waiter for this flag.
        stop.set()

    await kopf.operator(
        registry=registry,
        settings=build_kopf_settings(settings, bookkeeping),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=stop,
    )
    return stopped


def build_kopf_settings(settings: Settings, bookkeeping: Bookkeeping) -> kopf.OperatorSettings:
    """kopf's settings, each for a reason that was measured or is documented by kopf."""
    result = kopf.OperatorSettings()
    # The default finalizer is shared by all kopf operators, and each removes it for the others.
    result.persistence.finalizer = constants.FINALIZER
    result.persistence.progress_storage = bookkeeping.progress
    result.persistence.diffbase_storage = bookkeeping.diff_base
    # Events are explicit and our own.
    result.posting.enabled = False
    # Discovery of namespaces and definitions needs cluster-wide rights that given namespaces do not.
    result.scanning.disabled = bool(settings.namespaces)
    # Without limits, watches and requests freeze silently on a connection that died.
    result.watching.server_timeout = 600
    result.watching.connect_timeout = 10
    result.networking.request_timeout = 60
    result.networking.connect_timeout = 10
    # When kopf gives up on a request it drops the event, and nothing comes back to that object.
    result.networking.error_backoffs = _Endless()
    return result


class _Endless:
    """Seconds between attempts at a request, without an end; iterable anew for every request."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 2, 5), itertools.repeat(10))


def configure_logging(log_format: LogFormat) -> None:
    """Log to standard error, one line each."""
    kopf_format = kopf.LogFormat.JSON if log_format is LogFormat.JSON else kopf.LogFormat.FULL
    kopf.configure(log_format=kopf_format, log_prefix=True)
