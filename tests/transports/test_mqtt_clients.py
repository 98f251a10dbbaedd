"""Clients that others wrote can talk to us: paho-mqtt (3.1.1 and 5; TCP, TLS with a client certificate, WebSocket)
and gmqtt.
"""

import asyncio
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import gmqtt
import paho.mqtt.client as paho
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from support.aio import run
from thingstead.transports.mqtt.codec import encode
from thingstead.transports.mqtt.contract import ConnectRequest, Grant, Limits
from thingstead.transports.mqtt.packets import Publish
from thingstead.transports.mqtt.websocket import websocket_app
from transports.mqtt_harness import Desk, MemorySessionStore, Served, open_door, served, until

LEVELS = {4: paho.MQTTv311, 5: paho.MQTTv5}


class Certificates:
    """A CA, a server certificate for loopback and a client's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._sign("test CA", self.ca_key, None)
        self.write("ca", self.ca, self.ca_key)
        for name in ("server", "device"):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._sign(name, key, self.ca)
            self.write(name, certificate, key)
            if name == "device":
                der = certificate.public_bytes(serialization.Encoding.DER)
                self.fingerprint = hashlib.sha256(der).hexdigest()

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        return builder.sign(self.ca_key, hashes.SHA256())

    def write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def context(self) -> ssl.SSLContext:
        """What the server listens with: TLS 1.2 or newer, a client certificate asked for."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.path("ca.pem"))
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Paho:
    """A paho client with its own thread, and what has happened to it."""

    def __init__(self, level: int, client_id: str, transport: Any = "tcp", clean: bool = True) -> None:
        self.level = level
        options: dict[str, Any] = {} if level == 5 else {"clean_session": clean}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=LEVELS[level], transport=transport, **options
        )
        self.clean = clean
        self.connected: list[Any] = []
        self.present: list[bool] = []
        self.disconnected: list[Any] = []
        self.messages: list[paho.MQTTMessage] = []
        self.subscribed: list[list[int]] = []
        self.published: list[int] = []
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.disconnected.append(reason)
        self.client.on_message = lambda c, u, message: self.messages.append(message)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.subscribed.append([r.value for r in reasons])
        self.client.on_publish = lambda c, u, mid, reason, p: self.published.append(mid)

    def _on_connect(self, _client: object, _data: object, flags: Any, reason: Any, _properties: object) -> None:
        self.present.append(flags.session_present)
        self.connected.append(reason)

    async def connect(self, port: int) -> None:
        options: dict[str, Any] = {}
        if self.level == 5:
            properties = PahoProperties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if self.clean else 3_600
            options = {"clean_start": self.clean, "properties": properties}
        self.client.connect_async("127.0.0.1", port, **options)
        self.client.loop_start()
        await until(lambda: self.connected or self.disconnected)

    async def subscribe(self, *topics: tuple[str, int]) -> list[int]:
        self.subscribed.clear()
        self.client.subscribe(list(topics))
        await until(lambda: self.subscribed)
        return self.subscribed[0]

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        mid = self.client.publish(topic, payload, qos, retain).mid
        await until(lambda: mid in self.published)

    async def got(self, count: int) -> list[tuple[str, bytes]]:
        await until(lambda: len(self.messages) >= count)
        return [(message.topic, message.payload) for message in self.messages]


@contextmanager
def paho_client(level: int, client_id: str = "c", **options: Any) -> Iterator[Paho]:
    """A client whose thread is gone at the end."""
    client = Paho(level, client_id, **options)
    try:
        yield client
    finally:
        client.client.disconnect()
        client.client.loop_stop()


@asynccontextmanager
async def websocket_port(site: Served) -> AsyncIterator[int]:
    """The broker's ASGI application in a real HTTP server."""
    app = Starlette(routes=[WebSocketRoute("/mqtt", websocket_app(site.broker, loopback_bound=True))])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, ws="websockets-sansio", log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or serving.done())
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def _conversation(site: Served, port: int, client: Paho, desk: Desk) -> None:
    """Subscribe, publish at each QoS, receive, be answered, retained included: what every transport must carry."""
    await client.connect(port)
    assert not client.connected[0].is_failure
    assert await client.subscribe(("answers/#", 1), ("plain", 2)) == [1, 1]
    for qos in (0, 1, 2):
        await client.publish("plain", b"%d" % qos, qos)
    assert await client.got(3) == [("plain", b"0"), ("plain", b"1"), ("plain", b"2")]
    large = bytes(range(256)) * 400
    client.client.publish("reports/c", large, 1)
    await desk.wait(1)
    assert b"".join(desk.payloads()) == large
    assert len(client.published) == 3, "not acknowledged before it is settled"
    desk.calls[0][1](None)
    await until(lambda: len(client.published) == 4)
    site.broker.publish("answers/c", large, qos=1)
    assert (await client.got(4))[3] == ("answers/c", large)
    await client.publish("kept", b"r", 1, retain=True)
    await client.subscribe(("kept", 0))
    assert (await client.got(5))[4] == ("kept", b"r")
    assert client.messages[4].retain


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("transport", ["tcp", "tls", "websocket"])
def test_paho(level: int, transport: str, certificates: Certificates) -> None:
    async def story() -> None:
        asked: list[ConnectRequest] = []
        desk = Desk()

        async def door(request: ConnectRequest) -> Grant:
            asked.append(request)
            return await open_door(request)

        async with AsyncExitStack() as stack:
            context = certificates.context() if transport == "tls" else None
            site = await stack.enter_async_context(
                served(authenticate=door, context=context, routes=lambda broker: broker.route("reports/+", desk))
            )
            port = site.port
            carrier = "tcp"
            if transport == "websocket":
                port = await stack.enter_async_context(websocket_port(site))
                carrier = "websockets"
            client = stack.enter_context(paho_client(level, transport=carrier))
            if transport == "tls":
                client.client.tls_set(
                    certificates.path("ca.pem"), certificates.path("device.pem"), certificates.path("device.key")
                )
            if transport == "websocket":
                client.client.ws_set_options(path="/mqtt")
            await _conversation(site, port, client, desk)
            request = asked[0]
            assert request.listener == {"tcp": "plain"}.get(transport, transport)
            assert request.fingerprint == (certificates.fingerprint if transport == "tls" else None)
            assert (request.loopback_bound, request.level) == (True, level)
            # the server goes: the client learns it, and nobody hangs
            await asyncio.wait_for(site.broker.close(), 5)
            await until(lambda: client.disconnected)
            if level == 5:
                assert client.disconnected[0].value == 0x8B

    run(story())


def test_tls_without_a_certificate(certificates: Certificates) -> None:
    """Asked for, not demanded: the authenticator sees None. One of another CA does not get through."""

    async def story() -> None:
        asked: list[ConnectRequest] = []

        async def door(request: ConnectRequest) -> Grant:
            asked.append(request)
            return await open_door(request)

        async with served(authenticate=door, context=certificates.context()) as site:
            with paho_client(4) as client:
                client.client.tls_set(certificates.path("ca.pem"))
                await client.connect(site.port)
                assert not client.connected[0].is_failure
                assert asked[0].fingerprint is None

    run(story())


def test_websocket_of_another_kind() -> None:
    """Another sub-protocol is refused; text ends the connection; an old name is tolerated."""

    async def story() -> None:
        from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

        async with served() as site, websocket_port(site) as port, ClientSession() as session:
            url = f"http://127.0.0.1:{port}/mqtt"
            for protocols in ((), ("graphql-ws",)):
                with pytest.raises(WSServerHandshakeError) as refusal:
                    await session.ws_connect(url, protocols=protocols)
                assert refusal.value.status == 403
            async with session.ws_connect(url, protocols=("mqttv3.1",)) as socket:
                assert socket.protocol == "mqttv3.1"
                await socket.send_bytes(bytes.fromhex("100d00044d5154540402003c000163"))
                assert (await socket.receive(5)).data == bytes.fromhex("20020000")
                # a packet may come in pieces, and several in one frame (MQTT 5, 6.0)
                for piece in (b"\xc0", b"\x00\xc0\x00"):
                    await socket.send_bytes(piece)
                assert (await socket.receive(5)).data == b"\xd0\x00\xd0\x00"
                await socket.send_str("hello")
                assert (await socket.receive(5)).type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)
            await until(lambda: site.broker.current_stats().connections == 0)

    run(story())


def test_websocket_subscriber_that_does_not_read() -> None:
    """What a WebSocket client does not take is dropped or queued like on a socket, and the connection lives on."""

    async def story() -> None:
        from aiohttp import ClientSession

        async with served() as site, websocket_port(site) as port, ClientSession() as session:
            url = f"http://127.0.0.1:{port}/mqtt"
            async with session.ws_connect(url, protocols=("mqtt",), max_msg_size=0) as socket:
                await socket.send_bytes(bytes.fromhex("100d00044d5154540402003c000163"))
                await socket.receive(5)
                await socket.send_bytes(bytes.fromhex("82060001000174" + "00"))
                await socket.receive(5)
                transport = socket._response.connection.transport  # type: ignore[union-attr]
                transport.pause_reading()
                for _ in range(1_000):
                    site.broker.publish("t", b"." * 100_000)
                    await asyncio.sleep(0)
                    if site.broker.current_stats().dropped:
                        break
                assert site.broker.current_stats().dropped
                transport.resume_reading()
                assert len((await socket.receive(5)).data) >= 100_000
                # once it has caught up, it is served again
                async with asyncio.timeout(10):
                    while True:
                        site.broker.publish("t", b"the end")
                        if (await socket.receive()).data.endswith(b"the end"):
                            break

    run(story())


def test_websocket_publisher_that_is_faster_than_the_store() -> None:
    """It is not read further until what it has sent is settled."""

    async def story() -> None:
        from aiohttp import ClientSession

        desk = Desk()
        limits = Limits(unsettled=50)
        async with (
            served(limits=limits, routes=lambda broker: broker.route("t", desk)) as site,
            websocket_port(site) as port,
            ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{port}/mqtt", protocols=("mqtt",)) as socket,
        ):
            await socket.send_bytes(bytes.fromhex("100d00044d5154540402003c000163"))
            await socket.receive(5)
            for i in range(300):
                await socket.send_bytes(encode(Publish("t", b"%d" % i), 4))
            await until(lambda: len(desk.payloads()) == 50)
            for done in range(300):
                await desk.wait(done + 1)
                assert len(desk.payloads()) <= done + 50
                desk.calls[done][1](None)
            assert [int(payload) for payload in desk.payloads()] == list(range(300))

    run(story())


@pytest.mark.parametrize("level", [4, 5])
def test_paho_sessions_survive_a_restart(level: int) -> None:
    async def story() -> None:
        store = MemorySessionStore()
        async with served(store=store) as site:
            with paho_client(level, "device", clean=False) as client:
                await client.connect(site.port)
                assert client.present == [False]
                await client.subscribe(("things/device/#", 1))
            await until(lambda: site.broker.current_stats().connections == 0)
            with paho_client(level, "other") as other:
                await other.connect(site.port)
                for i in range(30):
                    await other.publish("things/device/x", b"%d" % i, 1)
        async with served(store=store) as site:
            with paho_client(level, "device", clean=False) as client:
                await client.connect(site.port)
                assert client.present == [True]
                assert await client.got(30) == [("things/device/x", b"%d" % i) for i in range(30)]

    run(story())


def test_paho_takeover() -> None:
    async def story() -> None:
        async with served() as site:
            with paho_client(5, "same") as first, paho_client(5, "same") as second:
                first.client.on_disconnect = lambda c, u, flags, reason, p: (  # it would come back at once
                    first.disconnected.append(reason),
                    first.client.disconnect(),
                )
                await first.connect(site.port)
                await second.connect(site.port)
                await until(lambda: first.disconnected)
                assert first.disconnected[0].value == 0x8E
                assert not second.disconnected

    run(story())


@pytest.mark.parametrize("level", [4, 5])
def test_gmqtt(level: int) -> None:
    """An independent implementation, of both levels."""

    async def story() -> None:
        got: asyncio.Queue[tuple[str, bytes, int]] = asyncio.Queue()
        subscribed = asyncio.Event()

        def on_message(_client: object, topic: str, payload: bytes, qos: int, _properties: object) -> int:
            got.put_nowait((topic, payload, qos))
            return 0

        async with served() as site:
            site.broker.publish("kept", b"r", qos=1, retain=True)
            client = gmqtt.Client("g")
            client.on_message = on_message
            client.on_subscribe = lambda *_: subscribed.set()
            await client.connect("127.0.0.1", site.port, version=level, keepalive=10)
            client.subscribe("a/+", qos=1)
            await asyncio.wait_for(subscribed.wait(), 5)
            client.subscribe("kept", qos=1)
            assert await asyncio.wait_for(got.get(), 5) == ("kept", b"r", 1)
            properties = {"user_property": ("k", "v"), "content_type": "text/plain"} if level == 5 else {}
            for qos in (0, 1, 2):
                client.publish(f"a/{qos}", b"x", qos=qos, **properties)
            for qos in (0, 1, 2):
                assert await asyncio.wait_for(got.get(), 5) == (f"a/{qos}", b"x", min(qos, 1))
            await client.disconnect()
            await until(lambda: site.broker.current_stats().connections == 0)

    run(story())
