"""The Local broker: an authority of its own, certificates as things.md 6.2 says, TLS that asks for them (6.1)."""

import ipaddress
import logging
import re
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.aio import run
from support.environment import ManualClock, SystemEntropy
from thingstead.engines.local import LocalBroker
from thingstead.model.errors import InvalidInput, Unavailable
from thingstead.ports.broker import Provisioned

YEAR = 365.25 * 86_400


def now_clock() -> ManualClock:
    """Stands still at the present, which TLS goes by."""
    return ManualClock(int(datetime.now(UTC).timestamp() * 1_000_000))


def opened(directory: Path, clock: ManualClock | None = None) -> LocalBroker:
    return LocalBroker.open(directory / "ca", clock=clock or now_clock(), entropy=SystemEntropy())


def made(broker: LocalBroker, app: str = "myapp", thing: str = "42", csr: str | None = None) -> Provisioned:
    return run(broker.provision(app, thing, "greenhouse", csr=csr))


def certificate(provisioned: Provisioned) -> x509.Certificate:
    return x509.load_pem_x509_certificate(str(provisioned.details["clientCert"]).encode())


def test_the_authority(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    ca = x509.load_pem_x509_certificate(broker.ca_certificate.encode())
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert isinstance(ca.public_key(), ec.EllipticCurvePublicKey)
    assert timedelta(days=3650) < ca.not_valid_after_utc - datetime.now(UTC) < timedelta(days=3654)
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


def test_the_authority_stays(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert opened(tmp_path).ca_certificate == first.ca_certificate


def test_a_lost_certificate_is_made_again_from_the_key(tmp_path: Path) -> None:
    device = certificate(made(opened(tmp_path)))
    (tmp_path / "ca" / "ca.pem").unlink()
    again = opened(tmp_path)
    device.verify_directly_issued_by(x509.load_pem_x509_certificate(again.ca_certificate.encode()))


def test_a_lost_key_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "ca" / "ca.key").unlink()
    before = (tmp_path / "ca" / "ca.pem").read_bytes()
    with pytest.raises(Unavailable, match=r"ca\.key is missing"):
        opened(tmp_path)
    assert (tmp_path / "ca" / "ca.pem").read_bytes() == before
    assert not (tmp_path / "ca" / "ca.key").exists()


@pytest.mark.parametrize("spoil", ["ca.key", "ca.pem"])
def test_spoiled_files_are_an_error(tmp_path: Path, spoil: str) -> None:
    opened(tmp_path)
    (tmp_path / "ca" / spoil).write_bytes(b"spoiled")
    with pytest.raises(Unavailable):
        opened(tmp_path)


def test_a_foreign_key_is_an_error(tmp_path: Path) -> None:
    opened(tmp_path / "a")
    opened(tmp_path / "b")
    (tmp_path / "a" / "ca" / "ca.key").write_bytes((tmp_path / "b" / "ca" / "ca.key").read_bytes())
    with pytest.raises(Unavailable, match="does not belong"):
        opened(tmp_path / "a")


def test_a_device_certificate(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    provisioned = made(broker)
    own = certificate(provisioned)
    own.verify_directly_issued_by(x509.load_pem_x509_certificate(broker.ca_certificate.encode()))
    assert own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "myapp-42"
    assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert timedelta(days=3650) < own.not_valid_after_utc - datetime.now(UTC) < timedelta(days=3654)
    assert own.serial_number.bit_length() <= 128
    assert certificate(made(broker)).serial_number != own.serial_number
    assert provisioned.details["clientCertId"] == own.fingerprint(hashes.SHA256()).hex()
    private = serialization.load_pem_private_key(str(provisioned.details["privateKey"]).encode(), None)
    assert private.public_key() == own.public_key()
    public = serialization.load_pem_public_key(str(provisioned.details["publicKey"]).encode())
    assert public == own.public_key()


def test_device_details(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.set_endpoint("iot.example.org", 28883, "ws://iot.example.org:8080/mqtt")
    details = made(broker).details
    assert set(details) == {
        *("thingId", "thingName", "thingARN", "clientId", "clientCertId", "clientCert", "privateKey", "publicKey"),
        *("caCert", "region", "port", "host", "wsUrl", "secret"),
    }
    assert details["thingId"] == "42"
    assert details["thingName"] == details["clientId"] == "myapp-42"
    assert details["thingARN"] == "arn:thingstead:iot:local:myapp:thing/myapp-42"
    assert details["caCert"] == broker.ca_certificate
    assert (details["region"], details["host"], details["port"]) == ("local", "iot.example.org", 28883)
    assert details["wsUrl"] == "ws://iot.example.org:8080/mqtt"
    assert len(str(details["secret"])) == 43
    assert re.fullmatch("[0-9a-f]{64}", str(details["clientCertId"]))


def test_long_names(tmp_path: Path) -> None:
    """A common name holds 64 characters, a cloud id 128; identity is the fingerprint, so the former may be cut."""
    broker = opened(tmp_path)
    provisioned = made(broker, "a" * 100, "4" * 27)
    assert provisioned.details["clientId"] == "a" * 100 + "-" + "4" * 27
    assert certificate(provisioned).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "a" * 64
    with pytest.raises(InvalidInput) as caught:
        made(broker, "a" * 100, "4" * 28)
    assert caught.value.field == "id"


def request_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody else")])
    wishes = x509.BasicConstraints(ca=True, path_length=None)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(wishes, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_of_a_request_only_the_key_counts(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    own = certificate(made(opened(tmp_path), csr=request_of(key)))
    assert own.public_key() == key.public_key()
    assert own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "myapp-42"
    assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    "weak", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256K1())], ids=["rsa1024", "k1"]
)
def test_weak_keys_are_refused(tmp_path: Path, weak: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(opened(tmp_path), csr=request_of(weak))
    assert caught.value.field == "csr"


def server_names(directory: Path) -> x509.SubjectAlternativeName:
    own = x509.load_pem_x509_certificate((directory / "ca" / "server.pem").read_bytes())
    return own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_the_servers_certificate(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.ssl_context(["iot.example.org", "192.0.2.7"])
    names = server_names(tmp_path)
    assert set(names.get_values_for_type(x509.DNSName)) == {"iot.example.org", "localhost"}
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ipaddress.ip_address(text) for text in ("192.0.2.7", "127.0.0.1", "::1")
    }
    assert stat.S_IMODE((tmp_path / "ca" / "server.key").stat().st_mode) == 0o600


def test_the_servers_certificate_is_renewed_at_two_thirds(tmp_path: Path) -> None:
    clock = now_clock()
    broker = opened(tmp_path, clock)
    assert run(broker.renew()) is False
    file = tmp_path / "ca" / "server.pem"
    broker.ssl_context()
    first = file.read_bytes()
    clock.advance(YEAR * 0.6)
    assert run(broker.renew()) is False
    opened(tmp_path, clock).ssl_context()
    assert file.read_bytes() == first
    clock.advance(YEAR * 0.08)
    assert run(broker.renew()) is True
    assert file.read_bytes() != first
    assert run(broker.renew()) is False


@pytest.mark.parametrize("spoil", ["server.pem", "server.key"])
def test_a_spoiled_server_certificate_is_made_anew(tmp_path: Path, spoil: str) -> None:
    broker = opened(tmp_path)
    broker.ssl_context()
    (tmp_path / "ca" / spoil).write_bytes(b"spoiled")
    broker.ssl_context()
    assert set(server_names(tmp_path).get_values_for_type(x509.DNSName)) == {"localhost"}


class Shake:
    """One TLS handshake on loopback, and a byte each way; what the server saw of the client."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> None:
        self.certificate: bytes | None = None
        self.alpn: str | None = None
        self.version: str | None = None
        self.error: Exception | None = None
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(10)
            thread = threading.Thread(target=self._serve, args=(listening, server))
            thread.start()
            try:
                with socket.create_connection(listening.getsockname(), timeout=10) as raw:
                    self._talk(raw, client, name)
            finally:
                thread.join(10)

    def _talk(self, raw: socket.socket, client: ssl.SSLContext, name: str) -> None:
        try:
            with client.wrap_socket(raw, server_hostname=name) as wrapped:
                wrapped.sendall(b"?")
                wrapped.recv(1)
                self.server_certificate = wrapped.getpeercert(binary_form=True)
        except (ssl.SSLError, ConnectionError) as error:
            self.error = error

    def _serve(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        raw, _ = listening.accept()
        raw.settimeout(10)
        try:
            with context.wrap_socket(raw, server_side=True) as wrapped:
                wrapped.recv(1)
                self.certificate = wrapped.getpeercert(binary_form=True)
                self.alpn = wrapped.selected_alpn_protocol()
                self.version = wrapped.version()
                wrapped.sendall(b"!")
        except (ssl.SSLError, ConnectionError) as error:
            self.error = error
        finally:
            raw.close()


def client_context(broker: LocalBroker, directory: Path, device: Provisioned | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=broker.ca_certificate)
    if device is not None:
        file = directory / f"{device.details['clientCertId']}.pem"
        file.write_text(str(device.details["privateKey"]) + str(device.details["clientCert"]))
        context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("protocol", ["mqtt", "x-amzn-mqtt-ca"])
def test_a_device_is_seen(tmp_path: Path, protocol: str) -> None:
    broker = opened(tmp_path)
    device = made(broker)
    client = client_context(broker, tmp_path, device)
    client.set_alpn_protocols([protocol])
    shake = Shake(broker.ssl_context(), client)
    assert shake.error is None
    assert shake.certificate == certificate(device).public_bytes(serialization.Encoding.DER)
    assert shake.alpn == protocol


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "iot.example.org"])
def test_a_certificate_is_not_required(tmp_path: Path, name: str) -> None:
    broker = opened(tmp_path)
    shake = Shake(broker.ssl_context(["iot.example.org"]), client_context(broker, tmp_path), name)
    assert shake.error is None
    assert shake.certificate is None


def test_old_tls_is_refused(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    client = client_context(broker, tmp_path)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server = broker.ssl_context()
    assert Shake(server, client).version == "TLSv1.2"
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_certificates_of_others_are_refused(tmp_path: Path) -> None:
    """Another authority's, the server's own (it is no client), and one that has expired."""
    broker, other = opened(tmp_path), opened(tmp_path / "other")
    server = broker.ssl_context()
    foreign = client_context(broker, tmp_path, made(other))
    assert Shake(server, foreign).error is not None
    own = client_context(broker, tmp_path)
    own.load_cert_chain(tmp_path / "ca" / "server.pem", tmp_path / "ca" / "server.key")
    assert Shake(server, own).error is not None
    past = now_clock()
    past.micros -= int(11 * YEAR * 1_000_000)
    expired = made(opened(tmp_path, past))
    assert certificate(expired).not_valid_after_utc < datetime.now(UTC)
    assert Shake(server, client_context(broker, tmp_path, expired)).error is not None


def test_a_renewed_certificate_is_used_without_restart(tmp_path: Path) -> None:
    clock = now_clock()
    broker = opened(tmp_path, clock)
    server = broker.ssl_context()
    client = client_context(broker, tmp_path)
    first = Shake(server, client).server_certificate
    clock.advance(YEAR * 0.7)
    assert run(broker.renew())
    # the new certificate begins in the future of this machine's clock; what matters is which one is sent
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    assert Shake(server, client).server_certificate != first


def test_nothing_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provisioned = made(opened(tmp_path))
    assert str(provisioned.details["secret"]) not in caplog.text
    assert "PRIVATE KEY" not in caplog.text
    assert str(provisioned.details["secret"]) not in repr(provisioned.metadata)
