"""With a certificate the main port is HTTPS and says so everywhere; with a bad one the server does not start."""

import datetime
import json
import socket
import ssl
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.client import Client
from support.server import Server
from thingstead.model.errors import InvalidInput
from thingstead.transports.http.serving import server_context


def pair(folder: Path, password: bytes | None = None) -> tuple[str, str]:
    """The files of a self-signed certificate for 127.0.0.1 and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "thingstead test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))
    return str(files[0]), str(files[1])


def test_the_main_port_is_https(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path)
    with Server(tmp_path, {"http.certificate": certificate, "http.key": key}) as server:
        assert server.http.startswith("https://127.0.0.1:")
        assert server.mqtts.startswith("mqtts://127.0.0.1:")
        assert server.agent.startswith("http://")
        kept = requests.Session()
        health = kept.get(server.http + "/v1/_health", verify=certificate, timeout=10)
        assert health.json() == {"message": "healthy"}
        assert health.headers["Strict-Transport-Security"].startswith("max-age=")
        assert health.headers["X-Content-Type-Options"] == "nosniff"
        signed = server.root.headers("GET", server.http + "/v1/_me")
        assert requests.get(server.http + "/v1/_me", headers=signed, verify=certificate, timeout=10).status_code == 200
        entry = requests.get(server.http + "/", verify=certificate, timeout=10).json()
        assert entry["_links"]["self"]["href"].startswith(server.http)
        signed = server.root.headers("POST", server.http + "/v1/things", b'{"name":"kit"}')
        made = requests.post(
            server.http + "/v1/things", b'{"name":"kit"}', headers=signed, verify=certificate, timeout=10
        ).json()
        assert "wss://" + server.http.removeprefix("https://") in json.dumps(made["deviceDetails"])
        at = urlsplit(server.http)
        with socket.create_connection((at.hostname or "", at.port or 0), timeout=10) as plain:
            plain.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not plain.recv(65_536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 4  # an idle client does not hold it up
        kept.close()


def test_by_default_it_is_plain_and_not_compressed(server: Server) -> None:
    health = requests.get(server.http + "/v1/_health", timeout=10)
    assert "Strict-Transport-Security" not in health.headers
    assert health.headers["X-Content-Type-Options"] == "nosniff"
    options = requests.get(server.http + "/v1/_config/options", headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert "Content-Encoding" not in options.headers
    assert Client(server.http, server.root).send("GET", "/v1/_me").status_code == 200


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = pair(tmp_path / "other")
    (tmp_path / "locked").mkdir()
    locked = pair(tmp_path / "locked", b"password")
    nothing = str(tmp_path / "nothing.pem")
    for given, field in (
        ((certificate, ""), "http.key"),
        (("", key), "http.certificate"),
        ((nothing, key), "http.certificate"),
        ((certificate, nothing), "http.key"),
        ((key, certificate), "http.certificate"),
        ((certificate, other), "http.certificate"),
        (locked, "http.certificate"),
    ):
        with pytest.raises(InvalidInput) as refused:
            server_context(*given)
        assert refused.value.field == field
        assert refused.value.message.startswith(field)
    assert server_context("", "") is None
    context = server_context(certificate, key)
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    with pytest.raises(AssertionError, match=r"exit 1: thingstead: http\.key"):
        Server(tmp_path, {"http.certificate": certificate})
