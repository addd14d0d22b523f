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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

__all__ = ["Credentials", "authority_data", "create_credentials", "kubeconfig", "write_private"]

_DAYS = "3650"
# First address of --service-cluster-ip-range: Pods reach the API server by it.
SERVICE_ADDRESS = "10.96.0.1"

_REQUEST = f"""\
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
subjectAltName = IP:127.0.0.1,IP:{SERVICE_ADDRESS},DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
"""


@dataclass(frozen=True)
class Credentials:
    """Where the files of one control plane are, and the token of each of its users."""

    directory: Path
    admin_token: str
    controller_manager_token: str

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
    def service_account_key(self) -> Path:
        return self.directory / "service-account.key"

    @property
    def service_account_public_key(self) -> Path:
        return self.directory / "service-account.pub"

    @property
    def token_file(self) -> Path:
        return self.directory / "tokens.csv"


def create_credentials(directory: Path) -> Credentials:
    """Make an authority, a server certificate for 127.0.0.1, a key for service accounts and two users.

    The users are `admin` (group system:masters) and `system:kube-controller-manager`. Raises ClusterError
    where openssl is absent or fails.
    """
    directory.mkdir(mode=0o700, parents=True)
    made = Credentials(directory, secrets.token_hex(24), secrets.token_hex(24))
    config = directory / "openssl.cnf"
    config.write_text(_REQUEST)
    request = directory / "server.csr"
    for key in (made.ca_key, made.server_key, made.service_account_key):
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        key.chmod(0o600)
    # 1.20 derives no public key from a private one in PKCS #8.
    _openssl("pkey", "-in", str(made.service_account_key), "-pubout", "-out", str(made.service_account_public_key))
    _openssl(
        *("req", "-x509", "-new", "-config", str(config), "-extensions", "authority", "-days", _DAYS),
        *("-key", str(made.ca_key), "-out", str(made.ca_file)),
    )
    _openssl("req", "-new", "-config", str(config), "-key", str(made.server_key), "-out", str(request))
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(made.ca_file), "-CAkey", str(made.ca_key)),
        *("-CAcreateserial", "-days", _DAYS, "-extfile", str(config), "-extensions", "server"),
        *("-out", str(made.server_certificate)),
    )
    write_private(
        made.token_file,
        f'{made.admin_token},admin,admin,"system:masters"\n'
        f"{made.controller_manager_token},system:kube-controller-manager,system:kube-controller-manager\n",
    )
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


def _openssl(*arguments: str) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError as exc:
        raise ClusterError("the local cluster needs the openssl program: apt-get install openssl") from exc
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed with status {done.returncode}: {done.stderr.strip()}")
