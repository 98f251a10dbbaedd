"""Twenty starts, half over new data directories: every address in the ready line answers at once; SIGTERM ends it.

Nothing is asked twice: an address that refuses its first connection fails the test.
"""

import http.client
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.server import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

DIRECTORIES = 10  # each is started over twice
SECONDS = 5
CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04late"  # MQTT 3.1.1, client id "late", no credentials
ACCEPTED = b"\x20\x02\x00\x00"  # on loopback; what such a client may do is another matter


def ask(url: str, path: str) -> int:
    """The status of a GET."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def connack(url: str, tls: ssl.SSLContext | None = None) -> bytes:
    """The answer to an MQTT CONNECT without credentials."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), SECONDS) as plain:
        stream = plain if tls is None else tls.wrap_socket(plain, server_hostname=parts.hostname)
        with stream:
            stream.sendall(CONNECT)
            return stream.recv(64)


def answers(server: Server) -> dict[str, object]:
    """Who answers what, asked once."""
    trusting = ssl.create_default_context(cafile=server.data / "ca" / "ca.pem")
    return {
        "http": ask(server.http, "/v1"),
        "mqtts": connack(server.mqtts, trusting),
        "mqtt": connack(server.mqtt),
        "agent": ask(server.agent, "/iot/about"),
        "south": ask(server.south, "/iot/json"),
        "context": ask(server.context, "/v2"),
    }


EXPECTED = {
    "http": 200,
    "mqtts": ACCEPTED,
    "mqtt": ACCEPTED,
    "agent": 200,
    "south": 400,  # without an API key and a device
    "context": 200,
}


@pytest.mark.parametrize("number", range(DIRECTORIES))
def test_every_address_answers_at_once(tmp_path: Path, number: int) -> None:
    with Server(tmp_path) as server:
        addresses = dict(server.ready)
        assert set(EXPECTED) | {"event", "pid"} == set(addresses)
        assert answers(server) == EXPECTED
        assert server.stop() == 0
        server.restart(same_ports=number % 2 == 0)
        assert answers(server) == EXPECTED
        assert server.stop() == 0
