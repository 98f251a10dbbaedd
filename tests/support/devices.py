"""The things door, the objects door and the kits behind real listeners (HTTP, MQTT over TLS, plain MQTT), and a device.

`Device` is paho-mqtt in a thread of its own; what it receives is kept in order.
"""

import json
import queue
import ssl
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
import requests
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.listening import Listening, listening
from thingstead.core.backend import Backend
from thingstead.doors import kits, objects, things
from thingstead.ports.environment import Clock
from thingstead.server.main_port import main_port
from thingstead.server.sessions import StoredSessions
from thingstead.transports.http import AsgiApp, TrustedProxies
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.listeners import serve_tcp
from thingstead.transports.mqtt.websocket import websocket_app

SECONDS = 10.0
Json = Any


class Site:
    """A running server with the doors of things."""

    def __init__(self, inner: Listening, broker: Broker, door: things.Door, tls: int, plain: int) -> None:
        self.inner = inner
        self.backend = inner.backend
        self.url = inner.url
        self.written = inner.written
        self.broker = broker
        self.door = door
        self.tls = tls
        self.plain = plain
        self.keys = (inner.root.access_key, inner.root.secret)

    def call(
        self, method: str, path: str, body: Json = None, *, auth: tuple[str, str] | bool | None = True, **more: Any
    ) -> requests.Response:
        """One request; signed by root, or with Basic credentials, or (`auth=None`) with none."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = dict(more.pop("headers", {}))
        url = self.url + path
        if auth is True:
            headers = self.inner.root.headers(method, url, data, headers)
            auth = None
        return requests.request(method, url, data=data, headers=headers, auth=auth or None, timeout=SECONDS, **more)

    def thing(self, **body: Json) -> dict[str, Any]:
        """A new thing of the root app, made at `/v1` with credentials."""
        answer = self.call("POST", "/v1/things", {"name": "greenhouse", **body}, auth=self.keys)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def totals(self) -> tuple[int, int, int, int]:
        """See `support.backend.totals`."""
        return self.inner.totals()


@contextmanager
def site(directory: Path, *, clock: Clock | None = None, **settings: Any) -> Generator[Site]:
    """Serve it all on free ports of 127.0.0.1 while the `with` lasts."""
    built: list[tuple[Broker, things.Door]] = []

    def doors(backend: Backend) -> AsgiApp:
        broker = Broker(
            clock=backend.clock,
            entropy=backend.entropy,
            authenticate=things.authenticate(backend),
            sessions=StoredSessions(backend.store),
        )
        door = things.Door(backend, broker)
        for pattern, handler in door.topics():
            broker.route(pattern, handler)

        def revoked(app: str, thing: str) -> None:
            things.close_sessions(broker, app, thing)

        def ended(app: str, user: str) -> None:
            things.end_user(broker, app, user)

        backend.things.on_revoked(revoked)
        backend.token_secrets.on_ended(ended)
        built.append((broker, door))
        rest = objects.app(backend, door.resources())
        web_socket = websocket_app(broker, loopback_bound=True, client=TrustedProxies("").client)
        return main_port({"mqtt": web_socket, "kits": kits.app(backend), "things": door.app(), "api": door.app()}, rest)

    with listening(directory, doors, clock=clock, **settings) as inner:
        broker, door = built[0]

        async def start() -> tuple[int, int]:
            await broker.start()
            tls = await serve_tcp(broker, "127.0.0.1", 0, inner.built.local.ssl_context())
            plain = await serve_tcp(broker, "127.0.0.1", 0)
            inner.built.local.set_endpoint("127.0.0.1", tls, inner.url.replace("http", "ws") + "/mqtt")
            return tls, plain

        tls, plain = inner.run(start())
        try:
            yield Site(inner, broker, door, tls, plain)
        finally:
            inner.run(broker.close())


class Refused(Exception):
    """The server refused a connection, a subscription or a publish; `code` is the reason code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Device:
    """A client. With `details` it shows their certificate over TLS. Raises Refused if it is not let in."""

    def __init__(
        self,
        port: int,
        details: Mapping[str, Json] | None = None,
        *,
        client_id: str | None = None,
        username: str | None = None,
        password: str | None = None,
        five: bool = False,
        will: str | None = None,
        ca: str | None = None,
        clean: bool = True,
        expiry: int = 0,
        websocket: bool = False,
        payload: Json = b"gone",
    ) -> None:
        name = client_id if client_id is not None else str((details or {}).get("clientId", ""))
        self.name = str((details or {}).get("thingName", ""))
        self.received: queue.Queue[tuple[str, Json]] = queue.Queue()
        self._connected: queue.Queue[int] = queue.Queue()
        self._gone: queue.Queue[int] = queue.Queue()
        self._granted: queue.Queue[int] = queue.Queue()
        self._acknowledged: queue.Queue[int] = queue.Queue()
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            clean_session=None if five else clean,
            reconnect_on_failure=False,
            transport="websockets" if websocket else "tcp",
        )
        if websocket:
            client.ws_set_options(path="/mqtt")
        client.max_inflight_messages_set(100)
        if will is not None:
            client.will_set(will, payload if isinstance(payload, bytes) else json.dumps(payload), 1)
        if username is not None:
            client.username_pw_set(username, password)
        if details is not None or ca is not None:
            client.tls_set_context(_context(details, ca))
        client.on_connect = lambda _c, _u, _f, reason, _p: self._connected.put(reason.value)
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._lost(reason.value)
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._granted.put(reasons[0].value)
        client.on_publish = lambda _c, _u, _m, reason, _p: self._acknowledged.put(reason.value)
        client.on_message = lambda _c, _u, message: self.received.put((message.topic, _parsed(bytes(message.payload))))
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry
        start: Any = {"clean_start": clean} if five else {}
        client.connect("127.0.0.1", port, properties=properties, **start)
        client.loop_start()
        code = self._connected.get(timeout=SECONDS)
        if code:
            with suppress(queue.Empty):  # the client's thread closes its socket, and says so, before it is stopped
                self._gone.get(timeout=1)
            client.loop_stop()
            _release(client)
            raise Refused(code)

    def _lost(self, code: int) -> None:
        self._gone.put(code)
        self._connected.put(code or 0x80)  # for whom it ends before it began

    def subscribe(self, *filters: str) -> None:
        """Raises Refused."""
        for pattern in filters:
            self._client.subscribe(pattern, 1)
            code = self._granted.get(timeout=SECONDS)
            if code >= 0x80:
                raise Refused(code)

    def publish(self, topic: str, payload: Json = b"", qos: int = 1) -> None:
        """Publish and wait for the acknowledgement. Raises Refused (0x80 without a code: the connection was closed)."""
        self._client.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), qos)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                code = self._acknowledged.get(timeout=0.02)
            except queue.Empty:
                if not self._gone.empty():
                    raise Refused(0x80) from None
                continue
            if code >= 0x80:
                raise Refused(code)
            return
        raise AssertionError(f"no acknowledgement in {SECONDS} s")

    def next(self) -> tuple[str, Json]:
        """The next message, its topic without `$aws/things/{name}/shadow/`."""
        topic, payload = self.received.get(timeout=SECONDS)
        return topic.removeprefix(f"$aws/things/{self.name}/shadow/"), payload

    def ask(self, verb: str, payload: Json = b"") -> None:
        """Publish a shadow request."""
        self.publish(f"$aws/things/{self.name}/shadow/{verb}", payload)

    def closed(self) -> int:
        """Wait until the server closes the connection; the reason code."""
        return self._gone.get(timeout=SECONDS)

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        _release(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _release(client: paho.Client) -> None:
    """Close what paho leaves to the garbage collector, which may warn of it first."""
    client._reset_sockets()  # pyright: ignore[reportPrivateUsage]


def _parsed(payload: bytes) -> Json:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def _context(details: Mapping[str, Json] | None, ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca or str((details or {})["caCert"]))
    if details is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "device.pem")
            file.write_text(str(details["privateKey"]) + str(details["clientCert"]))
            context.load_cert_chain(file)
    return context
