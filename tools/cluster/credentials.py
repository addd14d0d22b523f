"""Certificates, keys, tokens and kubeconfig files of a local control plane.

Made by the openssl command line, new for every cluster, readable by the owner only. Not responsible for
who may do what: that is RBAC's.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.cluster.errors import ClusterError

__all__ = ["Credentials", "authority_data", "create_credentials", "kubeconfig", "write_private"]

_DAYS = "3650"
# First address of --service-cluster-ip-range: Pods reach the API server by it.
SERVICE_ADDRESS = "10.96.0.1"

_REQUEST = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = metrics-storage-test
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
"""
_NAMES = ("localhost", "kubernetes", *(f"kubernetes.default{rest}" for rest in ("", ".svc", ".svc.cluster.local")))
_KUBELET_CLIENT = "/O=system:masters/CN=kube-apiserver-kubelet-client"


@dataclass(frozen=True)
class Credentials:
    """Where the files of one control plane are, and the token of each of its users."""

    directory: Path
    admin_token: str
    controller_manager_token: str
    scheduler_token: str = ""
    node_tokens: Mapping[str, str] = field(default_factory=dict)

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.directory / "ca.key"

    @property
    def server_certificate(self) -> Path:
        return self.directory / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.directory / "server.key"

    @property
    def kubelet_client_certificate(self) -> Path:
        """What the API server shows to kubelets."""
        return self.directory / "kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        return self.directory / "kubelet-client.key"

    @property
    def service_account_key(self) -> Path:
        return self.directory / "service-account.key"

    @property
    def service_account_public_key(self) -> Path:
        return self.directory / "service-account.pub"

    @property
    def token_file(self) -> Path:
        return self.directory / "tokens.csv"


def create_credentials(directory: Path, addresses: Sequence[str] = (), nodes: Sequence[str] = ()) -> Credentials:
    """Make an authority, a certificate for the API server, a key for service accounts, and users.

    The certificate is for 127.0.0.1 and `addresses`. Users are `admin` (group system:masters), the controller
    manager, the scheduler and one for each node. Raises ClusterError where openssl is absent or fails.
    """
    directory.mkdir(mode=0o700, parents=True)
    made = Credentials(
        directory,
        admin_token=secrets.token_hex(24),
        controller_manager_token=secrets.token_hex(24),
        scheduler_token=secrets.token_hex(24),
        node_tokens={node: secrets.token_hex(24) for node in nodes},
    )
    names = [f"IP:{address}" for address in ("127.0.0.1", SERVICE_ADDRESS, *addresses)]
    config = directory / "openssl.cnf"
    config.write_text(_REQUEST.format(names=",".join([*names, *(f"DNS:{name}" for name in _NAMES)])))
    for key in (made.ca_key, made.server_key, made.kubelet_client_key, made.service_account_key):
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        key.chmod(0o600)
    # 1.20 derives no public key from a private one in PKCS #8.
    _openssl("pkey", "-in", str(made.service_account_key), "-pubout", "-out", str(made.service_account_public_key))
    _openssl(
        *("req", "-x509", "-new", "-config", str(config), "-extensions", "authority", "-days", _DAYS),
        *("-key", str(made.ca_key), "-out", str(made.ca_file)),
    )
    _sign(made, config, "server", made.server_key, made.server_certificate)
    _sign(made, config, "client", made.kubelet_client_key, made.kubelet_client_certificate, _KUBELET_CLIENT)
    users = {
        "system:kube-controller-manager": made.controller_manager_token,
        "system:kube-scheduler": made.scheduler_token,
    }
    lines = [f'{made.admin_token},admin,admin,"system:masters"']
    lines += [f"{token},{user},{user}" for user, token in users.items()]
    lines += [f'{token},system:node:{node},{node},"system:nodes"' for node, token in made.node_tokens.items()]
    write_private(made.token_file, "".join(f"{line}\n" for line in lines))
    return made


def kubeconfig(name: str, server: str, authority: Mapping[str, str], token: str) -> dict[str, Any]:
    """A kubeconfig whose cluster, user and context are all called `name`.

    `authority` is what a cluster entry says about its certificate, e.g. {"certificate-authority-data": …}.
    """
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, **authority}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def authority_data(ca_file: Path) -> dict[str, str]:
    """How a kubeconfig carries an authority's certificate within itself."""
    return {"certificate-authority-data": base64.b64encode(ca_file.read_bytes()).decode()}


def write_private(path: Path, content: str | dict[str, Any]) -> None:
    """Write a secret, never readable by others; a dict as JSON, which every YAML parser reads too."""
    text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _sign(made: Credentials, config: Path, extensions: str, key: Path, certificate: Path, subject: str = "") -> None:
    request = certificate.with_suffix(".csr")
    who = ["-subj", subject] if subject else []
    _openssl("req", "-new", "-config", str(config), "-key", str(key), "-out", str(request), *who)
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(made.ca_file), "-CAkey", str(made.ca_key)),
        *("-CAcreateserial", "-days", _DAYS, "-extfile", str(config), "-extensions", extensions),
        *("-out", str(certificate)),
    )


def _openssl(*arguments: str) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError as exc:
        raise ClusterError("the local cluster needs the openssl program: apt-get install openssl") from exc
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed with status {done.returncode}: {done.stderr.strip()}")
