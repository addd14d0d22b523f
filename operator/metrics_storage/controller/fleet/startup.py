"""The vault of many nodes: opened and locked, and the server that their agents dial."""

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Final

import grpc

from metrics_storage.controller.fleet.absences import Absences
from metrics_storage.controller.fleet.admission import Admission
from metrics_storage.controller.fleet.agents import AgentPod, Agents
from metrics_storage.controller.fleet.authentication import TokenReviewer
from metrics_storage.controller.fleet.certificates import Certificate, make_certificate, read_certificate
from metrics_storage.controller.fleet.server import FleetServer
from metrics_storage.controller.fleet.sites import FleetSites
from metrics_storage.controller.fleet.vault_streams import VaultStreams
from metrics_storage.controller.health import Health
from metrics_storage.controller.settings import Settings
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.host import LocalScrubber
from metrics_storage.engine.volume.attendance import lock_when_free, lost_volume
from metrics_storage.engine.volume.bindings import Bindings
from metrics_storage.engine.volume.certificate import CertificateFile
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import SettingsError
from metrics_storage.kube import authority
from metrics_storage.kube.api import Api
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.discovery import find_known
from metrics_storage.kube.volume_ids import agree, recall

_log = logging.getLogger(__name__)

_GRACE: Final = 5.0
"""Seconds that connections get to end."""


async def open_vault(
    stack: AsyncExitStack, settings: Settings, api: Api, health: Health
) -> tuple[FleetSites, LocalScrubber]:
    """Open and lock the quarantine volume and listen for agents, until `stack` is closed.

    Raises:
        SettingsError, VolumeError, KubernetesError: it cannot be done.
    """
    if not settings.operator_namespace:
        raise SettingsError("--agents needs --operator-namespace: agents are Pods of that namespace")
    quarantine = await _open_quarantine(stack, settings, api)
    await lock_when_free(quarantine, health)
    quarantine.probe()
    health.lost_volume = partial(lost_volume, quarantine)
    certificate = await asyncio.to_thread(_certificate, CertificateFile(quarantine))
    await authority.publish(api, settings.operator_namespace, certificate.certificate)
    epoch = await asyncio.to_thread(Epochs(quarantine).take)
    bindings = await asyncio.to_thread(Bindings, quarantine)
    releases = Releases(quarantine)
    vault = await asyncio.to_thread(LocalVault, quarantine)

    def vault_for(pod: AgentPod) -> LocalVault:
        return vault.of(Origin(settings.cluster, pod.node))

    agents = Agents()
    streams = VaultStreams(agents, vault_for)
    stack.push_async_callback(streams.close)
    reviewer = TokenReviewer(api, settings.operator_namespace, settings.agents_service_account)
    admission = Admission(bindings, releases, reviewer.node_exists)
    server = FleetServer(agents, epoch, reviewer, admission, streams)
    host, port = settings.agents_address
    try:
        await server.start(f"{host}:{port}", _credentials(certificate))
    except RuntimeError as exc:  # What gRPC says of an address that it cannot listen at.
        raise SettingsError(f"agents' address {host}:{port}: {exc}") from exc
    stack.push_async_callback(server.stop, _GRACE)
    _log.info("agents may dial %s:%s; epoch %d", host, port, epoch)
    waiter = DeletionWaiter(api, settings.namespaces)
    absences = Absences(agents, bindings, releases, reviewer.node_exists, accept_loss_after=settings.accept_loss_after)
    sites = FleetSites(agents, bindings, absences, api, waiter, directory=str(settings.agents_directory))
    # Digests in journals are on the nodes; what archives and manifests say of each other is read here.
    scrubber = LocalScrubber(quarantine, lambda _uid: None, rate=settings.scrub_rate)
    stack.callback(scrubber.close)
    return sites, scrubber


async def _open_quarantine(stack: AsyncExitStack, settings: Settings, api: Api) -> Volume:
    """Open the quarantine volume as the cluster knows it; it may be a new one while the cluster knows of nothing."""
    namespace = settings.operator_namespace
    remembered = await recall(api, namespace)
    known = await find_known(api, settings.namespaces)
    new = known.is_nothing and not remembered
    quarantine = stack.enter_context(Volume(settings.quarantine_root, Role.QUARANTINE, initialise=new))
    await agree(api, namespace, remembered, {quarantine.role.value: quarantine.id})
    return quarantine


def _certificate(file: CertificateFile) -> Certificate:
    """The certificate that agents know already, or a new one."""
    now = datetime.now(UTC)
    if (pem := file.read()) is not None and (known := read_certificate(pem, now)) is not None:
        return known
    made = make_certificate(now)
    file.write(made.pem)
    return made


def _credentials(certificate: Certificate) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(certificate.key, certificate.certificate)])
