"""The storage volume of an operator that has its engine itself: opened, locked, and known to the cluster."""

from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path

from metrics_storage import constants
from metrics_storage.controller.health import Health
from metrics_storage.controller.settings import Settings
from metrics_storage.controller.site import OneSite, Site
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.host import LocalEngine, LocalScrubber
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.attendance import lock_when_free, lost_volume
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.engine.volume.volume_pair import open_pair
from metrics_storage.errors import SettingsError, VolumeError
from metrics_storage.kube.api import Api
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.discovery import Known, find_known, find_template
from metrics_storage.kube.volume_ids import agree, recall
from metrics_storage.kube.volume_source import ClaimSource, VolumeTemplate
from metrics_storage.kube.volumes import Volumes
from metrics_storage.model.identity import Uid


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
    await lock_when_free(storage, health)
    for volume in (storage, quarantine):
        volume.probe()
    health.lost_volume = partial(lost_volume, storage, quarantine)
    disk = StorageEngine(storage, LocalVault(quarantine, Origin(settings.cluster, settings.node_name or "")))
    engine = LocalEngine(disk, workers=settings.workers, archive_workers=settings.archive_workers)
    stack.callback(engine.close)
    volumes = Volumes(api, DeletionWaiter(api, settings.namespaces), template, storage.id)
    site = Site(engine, Uid(storage.id), template, volumes)
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
        await agree(api, namespace, remembered, ids)
    return storage, quarantine


def _open_volumes(
    stack: AsyncExitStack, storage_root: Path, settings: Settings, known: Known, remembered: Mapping[str, str]
) -> tuple[Volume, Volume]:
    """Open both volumes; an empty directory becomes a new volume only in a cluster that knows of no older one."""
    volumes = stack.enter_context(ExitStack())
    new = known.is_nothing and not remembered
    storage, quarantine = open_pair(volumes, storage_root, settings.quarantine_root, new=new)
    if known.volume_ids and storage.id not in known.volume_ids:
        raise VolumeError(
            f"storage volume {storage.path} has id {storage.id}, but the cluster's volumes point into "
            f"{', '.join(sorted(known.volume_ids))}: mount that one. If it is lost, say so by "
            f"kubectl delete pv --wait=false -l {constants.VOLUME_ID_LABEL}=<the lost id>"
        )
    return storage, quarantine
