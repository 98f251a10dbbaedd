"""The certificate authority of the Local broker (things.md 6.2): its key, the server's and devices' certificates.

Promises: `ca.key` and `server.key` are readable by their owner only; a certificate is written after its key, so that a
crash leaves nothing that cannot be completed; a missing `ca.key` beside a `ca.pem` is an error, never a new authority
that no device trusts. Key generation and signing take about 0.2 ms and belong in a thread. Keeps no list of what it
signed.
"""

import contextlib
import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from thingstead.model.errors import InvalidInput, Unavailable
from thingstead.ports.environment import Clock, Entropy

CA_LIFE: Final = timedelta(days=3652)
SERVER_LIFE: Final = timedelta(days=365)
DEVICE_LIFE: Final = timedelta(days=3652)
_BACKDATED: Final = timedelta(days=1)  # clocks of devices and servers differ
_MAX_COMMON_NAME: Final = 64  # X.520's bound; identity is the fingerprint, so a longer name may be cut
_MAX_CSR: Final = 16_384
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Authority:
    """See the module. `certificate` is what devices trust."""

    def __init__(self, directory: Path, key: ec.EllipticCurvePrivateKey, clock: Clock, entropy: Entropy) -> None:
        self._directory = directory
        self._key = key
        self._clock = clock
        self._entropy = entropy
        self.certificate = self._own_certificate()
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @classmethod
    def open(cls, directory: Path, clock: Clock, entropy: Entropy) -> "Authority":
        """The authority in `directory`, made on first use. Raises Unavailable if its files cannot be used."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            key_file = directory / "ca.key"
            if not key_file.exists():
                if (directory / "ca.pem").exists():
                    raise Unavailable(f"{key_file} is missing beside ca.pem: restore it, or move ca.pem away")
                _write(key_file, _private_pem(ec.generate_private_key(ec.SECP256R1())), secret=True)
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise Unavailable(f"{key_file} is no EC key")
            return cls(directory, key, clock, entropy)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Unavailable(f"the certificate authority in {directory} cannot be used: {error}") from None

    def server(self, hosts: Iterable[str]) -> tuple[Path, Path, bool]:
        """Files of the server's certificate and key for `hosts` and the local names; True if they were made anew.

        Made anew when there are none, when the names differ, and from two thirds of their life on. Raises Unavailable.
        """
        try:
            return self._server(_alternative_names((*hosts, *_LOCAL_NAMES)))
        except OSError as error:
            raise Unavailable(f"the server's certificate cannot be written: {error}") from None

    def _server(self, names: x509.SubjectAlternativeName) -> tuple[Path, Path, bool]:
        certificate_file, key_file = self._directory / "server.pem", self._directory / "server.key"
        if key_file.exists() and certificate_file.exists() and self._usable(certificate_file, key_file, names):
            return certificate_file, key_file, False
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            key.public_key(),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "thingstead")]),
            SERVER_LIFE,
            ExtendedKeyUsageOID.SERVER_AUTH,
            names,
        )
        certificate_file.unlink(missing_ok=True)  # never a new key beside an old certificate
        _write(key_file, _private_pem(key), secret=True)
        _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), secret=False)
        return certificate_file, key_file, True

    def device(self, name: str, csr: str | None) -> tuple[x509.Certificate, str | None]:
        """A device's certificate and the PEM of its private key; None with `csr`, whose key stays where it is.

        Of a CSR only the key counts. Raises InvalidInput with field `csr`.
        """
        if csr is None:
            private = ec.generate_private_key(ec.SECP256R1())
            public: CertificatePublicKeyTypes = private.public_key()
            pem = _private_pem(private).decode()
        else:
            public, pem = _requested_key(csr), None
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])])
        return self._sign(public, subject, DEVICE_LIFE, ExtendedKeyUsageOID.CLIENT_AUTH, None), pem

    def recognised(self, pem: str, name: str) -> str | None:
        """The fingerprint of a device's certificate, if we signed it for `name`; else None."""
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return None
        named = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return certificate.fingerprint(hashes.SHA256()).hex() if named == [name[:_MAX_COMMON_NAME]] else None

    def _own_certificate(self) -> x509.Certificate:
        file = self._directory / "ca.pem"
        if file.exists():
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            if certificate.public_key() != self._key.public_key():
                raise Unavailable(f"{file} does not belong to ca.key")
            return certificate
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "thingstead CA")])
        public = self._key.public_key()
        certificate = (
            self._builder(public, name, name, CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        _write(file, certificate.public_bytes(serialization.Encoding.PEM), secret=False)
        return certificate

    def _builder(
        self, public: CertificatePublicKeyTypes, subject: x509.Name, issuer: x509.Name, life: timedelta
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(int.from_bytes(self._entropy.token(16)) or 1)
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def _sign(
        self,
        public: CertificatePublicKeyTypes,
        subject: x509.Name,
        life: timedelta,
        purpose: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        builder = (
            self._builder(public, subject, self.certificate.subject, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(encipher=isinstance(public, rsa.RSAPublicKey)), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _usable(self, certificate_file: Path, key_file: Path, names: x509.SubjectAlternativeName) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate.verify_directly_issued_by(self.certificate)
            have = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return (
            certificate.public_key() == key.public_key()
            and set(have) == set(names)
            and start <= self._now() < start + (end - start) * 2 / 3
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now() // 1_000_000, UTC)


def _usage(*, sign_certificates: bool = False, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(hosts: Iterable[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            with contextlib.suppress(ValueError):  # a name that no certificate can carry
                names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _requested_key(csr: str) -> CertificatePublicKeyTypes:
    if len(csr) > _MAX_CSR:
        raise InvalidInput("csr is too long", field="csr")
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        genuine = request.is_signature_valid
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput("csr must be a PKCS #10 certificate request in PEM", field="csr") from None
    if not genuine:
        raise InvalidInput("csr is not signed by its own key", field="csr")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096:
        return key
    raise InvalidInput("csr must hold an EC key (P-256, P-384, P-521) or an RSA key of 2048 to 4096 bits", field="csr")


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, data: bytes, *, secret: bool) -> None:
    """Write a file whole and durably, or not at all."""
    beside = file.with_suffix(file.suffix + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
