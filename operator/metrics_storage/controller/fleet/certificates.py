"""The certificate by which agents know their controller: self-signed, so that it is its own authority."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from metrics_storage.channel.protocol import SERVER_NAME

_VALID: Final = timedelta(days=3650)
_RENEWED: Final = timedelta(days=365)
"""A certificate is made anew at the first start within this time before its end."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A private key and its certificate, both in PEM."""

    key: bytes
    certificate: bytes

    @property
    def pem(self) -> bytes:
        """Both in one, as `read_certificate` takes it."""
        return self.key + self.certificate


def make_certificate(now: datetime) -> Certificate:
    """A new key and a certificate for it, valid from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # Clocks of nodes differ.
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), certificate.public_bytes(Encoding.PEM)
    )


def read_certificate(pem: bytes, now: datetime) -> Certificate | None:
    """Read a key and its certificate; None where a new one has to be made, because it ends soon or is no such pair."""
    try:
        key = load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if certificate.not_valid_after_utc < now + _RENEWED or certificate.public_key() != key.public_key():
        return None
    return Certificate(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), certificate.public_bytes(Encoding.PEM)
    )
