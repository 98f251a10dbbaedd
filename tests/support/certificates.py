"""Certificates of an authority that tests make for themselves."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_YEAR = datetime.timedelta(days=365)


class Authority:
    """Signs certificates; `pem` is its own."""

    def __init__(self, name: str) -> None:
        self._key = _key()
        self._name = _named(name)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = _builder(self._name, self._name, self._key).add_extension(constraints, critical=True)
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, host: str) -> tuple[str, str]:
        """Certificate and key of a host, a name or an address, as PEM."""
        key = _key()
        builder = _builder(_named(host), self._name, key)
        named = builder.add_extension(x509.SubjectAlternativeName([_general(host)]), critical=False)
        certificate = named.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), private_pem(key)


def self_signed(name: str) -> tuple[str, str]:
    """Certificate and key of somebody who needs no authority, as PEM."""
    key = _key()
    certificate = _builder(_named(name), _named(name), key).sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private_pem(key)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """A key as PEM, PKCS#8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - _YEAR).not_valid_after(now + _YEAR)
