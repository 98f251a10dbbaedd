"""Nothing is acknowledged before it is durable: a held commit holds 201 and PUBACK, a failing one gives 503 and a
disconnect.

The server runs over a VFS whose syncs the test holds, fails, or finds the disk full; afterwards it works again, and
what was refused is not there.
"""

import json
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.client import Client, Reply
from support.server import Server, forgetful

pytestmark = pytest.mark.faults

SECONDS = 10
CONNACK, PUBACK = 0x20, 0x40


class Disk:
    """The fault that the server's disk has."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def fault(self, name: str) -> None:
        part = self._control.with_suffix(".part")
        part.write_text(name)
        part.replace(self._control)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "fault")


@pytest.fixture
def server(tmp_path: Path, disk: Disk) -> Iterator[Server]:
    with Server(tmp_path, launcher=forgetful(tmp_path / "fault")) as running:
        yield running
        disk.fault("")


class Device:
    """A raw MQTT 3.1.1 client, so that the very bytes of an acknowledgement are seen."""

    def __init__(self, server: Server, details: dict[str, Any]) -> None:
        self.name = details["thingName"]
        address = urlsplit(server.mqtt)
        self._socket = socket.create_connection((address.hostname or "", address.port or 0), SECONDS)
        body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + b"".join(map(text, (self.name, self.name, details["secret"])))
        self._send(0x10, body)
        assert self.packet()[0] == CONNACK

    def report(self, reported: dict[str, Any], packet_id: int = 1) -> None:
        document = json.dumps({"state": {"reported": reported}}).encode()
        topic = text(f"$aws/things/{self.name}/shadow/update")
        self._send(0x32, topic + struct.pack(">H", packet_id) + document)

    def _send(self, kind: int, body: bytes) -> None:
        assert len(body) < 16_384
        self._socket.sendall(bytes((kind, len(body) & 0x7F | 0x80, len(body) >> 7)) + body)

    def packet(self) -> bytes:
        """The next packet, b"" when the server has closed."""
        head = self._socket.recv(2)
        return head + self._socket.recv(head[1]) if len(head) == 2 else b""

    @property
    def silent(self) -> bool:
        """Nothing has come."""
        return not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._socket.close()


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def thing(client: Client) -> dict[str, Any]:
    made = client.send("POST", "/v1/things", {"name": "kit"})
    assert made.status_code == 201
    return made.json()


def test_a_held_commit_holds_201_and_puback(server: Server, disk: Disk) -> None:
    client = Client(server.http, server.root)
    made = thing(client)
    device = Device(server, made["deviceDetails"])
    replies: list[Reply] = []
    disk.fault("hold")
    writer = threading.Thread(target=lambda: replies.append(client.send("POST", "/v1/cats", {"id": "c1"})))
    writer.start()
    device.report({"temp": 1})
    writer.join(0.5)  # as long as nobody could mistake for a slow disk
    assert device.silent
    assert not replies
    disk.fault("")
    writer.join(SECONDS)
    assert [reply.status_code for reply in replies] == [201]
    assert device.packet()[0] == PUBACK
    assert client.send("GET", "/v1/cats/c1").status_code == 200
    assert client.send("GET", f"/v1/things/{made['id']}").json()["deviceState"] == {"temp": 1}
    device.close()


@pytest.mark.parametrize("fault", ["fail", "full"])
def test_a_failing_commit_gives_503_and_a_disconnect_and_leaves_nothing(server: Server, disk: Disk, fault: str) -> None:
    client = Client(server.http, server.root)
    made = thing(client)
    device = Device(server, made["deviceDetails"])
    disk.fault(fault)
    device.report({"temp": 1})
    assert device.packet() == b""
    refused = client.send("POST", "/v1/cats", {"id": "c1"})
    assert (refused.status_code, refused.json()["code"]) == (503, 503)
    assert client.send("PATCH", f"/v1/things/{made['id']}", {"name": "other"}).status_code == 503
    disk.fault("")
    assert client.send("GET", "/v1/cats/c1").status_code == 404
    shown = client.send("GET", f"/v1/things/{made['id']}").json()
    assert (shown["name"], shown["deviceState"]) == ("kit", {})
    again = Device(server, made["deviceDetails"])
    again.report({"temp": 2})
    assert again.packet()[0] == PUBACK
    assert client.send("GET", f"/v1/things/{made['id']}").json()["deviceState"] == {"temp": 2}
    assert client.send("POST", "/v1/cats", {"id": "c1"}).status_code == 201
    device.close()
    again.close()
