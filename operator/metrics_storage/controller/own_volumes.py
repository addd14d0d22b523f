"""The storage volume of an operator that has its engine itself: opened, locked, and known to the cluster."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from metrics_storage import constants
from metrics_storage.controller.health import Health
from metrics_storage.controller.settings import Settings
from metrics_storage.controller.site import OneSite, Site
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.host import LocalEngine, LocalScrubber
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.engine.volume.volume_pair import open_pair
from metrics_storage.errors import SettingsError, VolumeError, VolumeLockedError, VolumeLostError
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.discovery import Known, find_known, find_template
from metrics_storage.kube.volume_ids import check_remembered, recall, remember
from metrics_storage.kube.volume_source import ClaimSource, VolumeTemplate
from metrics_storage.model.identity import Uid

_log = logging.getLogger(__name__)

_LOCK_RETRY: Final = 2.0


async def open_own_volumes(
    stack: AsyncExitStack, settings: Settings, source: ClaimSource | VolumeTemplate, api: Api, health: Health
) -> tuple[OneSite, LocalScrubber]:
    """Open both volumes and lock the storage volume, until `stack` is closed; `source` says where volumes point.

    Raises:
        SettingsError, VolumeError, VolumeSourceError, KubernetesError: it cannot be done; nothing was touched.
    """
    if settings.storage_root is None:
        raise SettingsError("a storage volume is needed where there are no agents")
    template = await find_template(api, source)
    storage, quarantine = await _find_volumes(stack, settings.storage_root, settings, api)
    await lock(storage, health)
    for volume in (storage, quarantine):
        volume.probe()
    health.lost_volume = partial(lost_volume, storage, quarantine)
    disk = StorageEngine(storage, LocalVault(quarantine, Origin(settings.cluster, settings.node_name or "")))
    engine = LocalEngine(disk, workers=settings.workers, archive_workers=settings.archive_workers)
    stack.callback(engine.close)
    claims = Claims(api, DeletionWaiter(api, settings.namespaces), template, storage.id)
    site = Site(engine, Uid(storage.id), template, claims)
    sites = OneSite(site, f"{constants.VOLUME_ID_LABEL}={storage.id}")
    scrubber = LocalScrubber(quarantine, disk.find, rate=settings.scrub_rate)
    stack.callback(scrubber.close)
    return sites, scrubber


async def _find_volumes(
    stack: AsyncExitStack, storage_root: Path, settings: Settings, api: Api
) -> tuple[Volume, Volume]:
    """Open both volumes as the cluster knows them, and have it know them from now on."""
    namespace = settings.operator_namespace
    remembered = await recall(api, namespace) if namespace else {}
    known = await find_known(api, settings.namespaces)
    storage, quarantine = _open_volumes(stack, storage_root, settings, known, remembered)
    ids = {volume.role.value: volume.id for volume in (storage, quarantine)}
    if namespace:
        check_remembered(remembered, namespace, ids)
        if not remembered:
            await remember(api, namespace, ids)
    return storage, quarantine


def _open_volumes(
    stack: AsyncExitStack, storage_root: Path, settings: Settings, known: Known, remembered: Mapping[str, str]
) -> tuple[Volume, Volume]:
    """Open both volumes; an empty directory becomes a new volume only in a cluster that knows of no older one."""
    volumes = stack.enter_context(ExitStack())
    new = not known.provisioned and not known.volume_ids and not remembered
    storage, quarantine = open_pair(volumes, storage_root, settings.quarantine_root, new=new)
    if known.volume_ids and storage.id not in known.volume_ids:
        raise VolumeError(
            f"storage volume {storage.path} has id {storage.id}, but the cluster's volumes point into "
            f"{', '.join(sorted(known.volume_ids))}: mount that one. If it is lost, say so by "
            f"kubectl delete pv --wait=false -l {constants.VOLUME_ID_LABEL}=<the lost id>"
        )
    return storage, quarantine


def lost_volume(*volumes: Volume) -> str | None:
    """Which of these volumes cannot be reached any more, and why."""
    for volume in volumes:
        try:
            volume.require_present()
        except VolumeLostError as exc:
            return str(exc)
        except VolumeError:
            pass  # Whatever else is wrong with it, a new container would not mend.
    return None


async def lock(volume: Volume, health: Health) -> None:
    """Wait until no other operator works on a volume, and say so meanwhile."""
    while True:
        try:
            volume.lock()
        except VolumeLockedError as exc:
            if health.waiting_for != str(exc):
                _log.warning("%s; waiting until it ends", exc)
            health.waiting_for = str(exc)
            await asyncio.sleep(_LOCK_RETRY)
        else:
            return
