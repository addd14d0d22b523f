"""From settings to a running operator: open and lock the volumes, find where volumes point, start kopf."""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import kopf

from metrics_storage import constants
from metrics_storage.controller.consumers import Consumers
from metrics_storage.controller.engine_api import Scrubber
from metrics_storage.controller.events import Events
from metrics_storage.controller.health import Health, serve
from metrics_storage.controller.kopf_adapter.handlers import register
from metrics_storage.controller.kopf_adapter.storage import Bookkeeping
from metrics_storage.controller.metrics import build_metrics
from metrics_storage.controller.own_volumes import open_own_volumes
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.scrub import Scrub
from metrics_storage.controller.settings import Settings
from metrics_storage.controller.site import Sites
from metrics_storage.controller.sweep import Sweep
from metrics_storage.errors import SettingsError, WatchLostError
from metrics_storage.kube.api import Api
from metrics_storage.kube.volume_source import ClaimSource, VolumeTemplate, parse_volume_source
from metrics_storage.logs import LogFormat
from metrics_storage.model.spec import VolumeBindingMode

_log = logging.getLogger(__name__)

_WAITING: Final = f"{constants.BINDING_MODE_LABEL}={VolumeBindingMode.WAIT_FOR_FIRST_CONSUMER}"
"""Label of claims that wait for a consumer."""


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        asyncio.CancelledError: SIGTERM came before kopf ran; nothing was touched.
        SettingsError, VolumeError, VolumeSourceError, KubernetesError: it cannot start; nothing was touched.
        WatchLostError: it must be started anew.
    """
    _end_by_sigterm()
    source = None if settings.agents else parse_volume_source(settings.volume_source, settings.node_name)
    async with AsyncExitStack() as stack:
        health = Health(sweep_interval=settings.sweep_interval)
        await _serve_health(stack, health, settings)
        api = await stack.enter_async_context(await Api.connect())
        sites, scrubber = await _open_volumes(stack, settings, source, api, health)
        events = Events(api)
        reconciler = Reconciler(api, sites, events)
        consumers = Consumers(api, reconciler) if sites.claims is not None else None
        if consumers is not None:
            stack.push_async_callback(consumers.close)
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
        scrub = Scrub(scrubber, events, interval=settings.scrub_interval)
        health.metrics = build_metrics(scrubber, sweep)
        await stack.enter_async_context(_background(sweep))
        await stack.enter_async_context(_background(scrub))
        registry = kopf.OperatorRegistry()
        register(registry, reconciler, bookkeeping, consumers)
        if await _run_kopf(settings, registry, health, bookkeeping, server=api.server, stop=sweep.watch_lost):
            raise WatchLostError(
                "the API server has MetricsStorages that no watch tells of; was the definition deleted and applied "
                "again, or does the log tell of requests that failed? Nothing was lost: start the operator anew, as "
                "Kubernetes does by itself"
            )


async def _open_volumes(
    stack: AsyncExitStack, settings: Settings, source: ClaimSource | VolumeTemplate | None, api: Api, health: Health
) -> tuple[Sites, Scrubber]:
    if source is not None:
        return await open_own_volumes(stack, settings, source, api, health)
    # What it needs is not installed everywhere, and takes memory where there are no agents.
    from metrics_storage.controller.fleet.startup import open_vault  # noqa: PLC0415

    return await open_vault(stack, settings, api, health)


async def _serve_health(stack: AsyncExitStack, health: Health, settings: Settings) -> None:
    host, port = settings.health_address
    try:
        runner = await serve(health, host, port)
    except OSError as exc:
        raise SettingsError(f"health address {host}:{port}: {exc.strerror or exc}") from exc
    stack.push_async_callback(runner.cleanup)


def _end_by_sigterm() -> None:
    """Have SIGTERM cancel this task until kopf, which sees to signals itself, runs.

    Without a handler the first process of a container ignores it, and Kubernetes waits for the whole grace period.
    """
    starting = asyncio.current_task()
    if starting is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, starting.cancel)


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
    registry: kopf.OperatorRegistry,
    health: Health,
    bookkeeping: Bookkeeping,
    *,
    server: str,
    stop: asyncio.Event,
) -> bool:
    """Serve until SIGTERM or `stop`; whether it was that which ended it."""
    stopped = False

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
    # Of the cluster's claims only those that wait for a consumer are watched. MetricsStorages are never selected: kopf
    # takes one that leaves a selection for deleted.
    result.watching.label_selectors["persistentvolumeclaims"] = f"{constants.MANAGED_SELECTOR},{_WAITING}"
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
