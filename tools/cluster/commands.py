"""The command lines of the control plane, as pure functions from paths, ports and credentials to lists.

Flags hold for Kubernetes 1.20 (what Debian ships) and for current releases (KUBEBUILDER_ASSETS).
Not responsible for starting anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.credentials import Credentials

__all__ = ["Ports", "apiserver", "controller_manager", "etcd", "scheduler", "with_flags"]

_SERVICE_RANGE = "10.96.0.0/16"
# The insecure port of the controller manager, open by default on a fixed number, went away with 1.24.
_INSECURE_PORT_GONE = (1, 24)


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; the API server's on `address`, which nodes reach where there are any."""

    address: str
    etcd: int
    apiserver: int
    controller_manager: int
    scheduler: int

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.etcd}"

    @property
    def apiserver_url(self) -> str:
        return f"https://{self.address}:{self.apiserver}"


def with_flags(binary: Path, flags: Mapping[str, str], extra: Mapping[str, str]) -> list[str]:
    """An argument list; `extra` replaces flags of the same name, names without leading dashes."""
    return [str(binary), *(f"--{name}={value}" for name, value in {**flags, **extra}.items())]


def etcd(binary: Path, data: Path, ports: Ports) -> list[str]:
    """A single member; what it stores is thrown away, so it need not survive a power cut."""
    return with_flags(
        binary,
        {
            "data-dir": str(data),
            "listen-client-urls": ports.etcd_url,
            "advertise-client-urls": ports.etcd_url,
            "listen-peer-urls": "http://127.0.0.1:0",
            "unsafe-no-fsync": "true",
            # Milliseconds. The only member need not wait a second for others to claim the lead.
            "heartbeat-interval": "20",
            "election-timeout": "200",
            "log-level": "warn",
        },
        {},
    )


def apiserver(binary: Path, credentials: Credentials, ports: Ports, extra: Mapping[str, str]) -> list[str]:
    """Default admission plugins, RBAC, tokens for users and for service accounts."""
    flags = {
        "etcd-servers": ports.etcd_url,
        "bind-address": ports.address,
        "secure-port": str(ports.apiserver),
        # A loopback address is refused as an endpoint of the `kubernetes` service, and the default asks for
        # a default route, which a machine without network does not have.
        "advertise-address": "127.0.0.1",
        "endpoint-reconciler-type": "none",
        "tls-cert-file": str(credentials.server_certificate),
        "tls-private-key-file": str(credentials.server_key),
        "client-ca-file": str(credentials.ca_file),
        "kubelet-client-certificate": str(credentials.kubelet_client_certificate),
        # Nobody here resolves the names of nodes.
        "kubelet-preferred-address-types": "InternalIP",
        "kubelet-client-key": str(credentials.kubelet_client_key),
        "token-auth-file": str(credentials.token_file),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(credentials.service_account_public_key),
        "service-account-signing-key-file": str(credentials.service_account_key),
        "service-cluster-ip-range": _SERVICE_RANGE,
        "authorization-mode": "Node,RBAC",
        "allow-privileged": "true",
    }
    return with_flags(binary, flags, extra)


def controller_manager(
    binary: Path,
    credentials: Credentials,
    ports: Ports,
    kubeconfig: Path,
    *,
    version: tuple[int, int],
    extra: Mapping[str, str],
) -> list[str]:
    """All default controllers: binder, protection of PVs and PVCs, namespaces, garbage collector, tokens."""
    flags = {
        "kubeconfig": str(kubeconfig),
        "bind-address": "127.0.0.1",
        "secure-port": str(ports.controller_manager),
        "tls-cert-file": str(credentials.server_certificate),
        "tls-private-key-file": str(credentials.server_key),
        "use-service-account-credentials": "true",
        "service-account-private-key-file": str(credentials.service_account_key),
        "root-ca-file": str(credentials.ca_file),
        "cluster-signing-cert-file": str(credentials.ca_file),
        "cluster-signing-key-file": str(credentials.ca_key),
        # With an election it would end itself as soon as a test stops the API server.
        "leader-elect": "false",
    }
    if version < _INSECURE_PORT_GONE:
        flags["port"] = "0"
    return with_flags(binary, flags, extra)


def scheduler(
    binary: Path, credentials: Credentials, ports: Ports, kubeconfig: Path, *, version: tuple[int, int]
) -> list[str]:
    """The default scheduler, without the election that a test which stops the API server would make it lose."""
    flags = {
        "kubeconfig": str(kubeconfig),
        "authentication-kubeconfig": str(kubeconfig),
        "authorization-kubeconfig": str(kubeconfig),
        "bind-address": "127.0.0.1",
        "secure-port": str(ports.scheduler),
        "tls-cert-file": str(credentials.server_certificate),
        "tls-private-key-file": str(credentials.server_key),
        "leader-elect": "false",
    }
    if version < _INSECURE_PORT_GONE:
        flags["port"] = "0"
    return with_flags(binary, flags, {})
