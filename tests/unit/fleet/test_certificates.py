"""The certificate by which agents know their controller: made once, and anew before it ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from metrics_storage.controller.fleet.certificates import make_certificate, read_certificate
from metrics_storage.engine.volume.certificate import CertificateFile
from metrics_storage.engine.volume.volume import Role, Volume

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_certificate_is_kept_as_it_is_and_readable_for_its_owner_alone(tmp_path: Path) -> None:
    made = make_certificate(NOW)
    with Volume(tmp_path, Role.QUARANTINE, initialise=True) as volume:
        file = CertificateFile(volume)
        assert file.read() is None
        file.write(made.pem)
        assert read_certificate(file.read() or b"", NOW) == made
    (path,) = tmp_path.rglob("controller.pem")
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_ends_within_a_year_is_made_anew() -> None:
    pem = make_certificate(NOW).pem
    assert read_certificate(pem, NOW + timedelta(days=8 * 365)) is not None
    assert read_certificate(pem, NOW + timedelta(days=9 * 365 + 10)) is None


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\xff" * 100])
def test_what_is_no_certificate_is_made_anew(pem: bytes) -> None:
    assert read_certificate(pem, NOW) is None


def test_another_ones_key_is_no_pair() -> None:
    one, other = make_certificate(NOW), make_certificate(NOW)
    assert read_certificate(one.key + other.certificate, NOW) is None


def test_it_is_for_servers_of_one_name_and_signs_no_others() -> None:
    certificate = x509.load_pem_x509_certificate(make_certificate(NOW).certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["metrics-storage-controller"]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
