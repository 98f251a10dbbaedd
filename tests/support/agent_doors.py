"""The agent's two HTTP ports, the context broker's and plain MQTT over one backend, in the test's own loop."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from support.backend import open_backend
from thingstead.core.backend import Backend
from thingstead.doors import agent, context
from thingstead.model.values import Json, dump, parse
from thingstead.ports.environment import Clock
from thingstead.server.sessions import StoredSessions
from thingstead.transports.http import AsgiApp, Receive, Scope, Send
from thingstead.transports.http.serving import HttpListener
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import ConnectRequest, Grant
from thingstead.transports.mqtt.listeners import serve_tcp

TENANT = {"fiware-service": "smartgondor", "fiware-servicepath": "/gardens"}
JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}


class Reply(NamedTuple):
    """An answer; `json` is None where the body is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return parse(self.body)


class Doors:
    """Calls by port."""

    def __init__(self, backend: Backend, client: aiohttp.ClientSession, urls: Mapping[str, str], mqtt: int) -> None:
        self.mqtt = mqtt
        self.backend = backend
        self.client = client
        self.urls = urls

    async def call(
        self,
        port: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] = TENANT,
    ) -> Reply:
        """One request to `north`, `south` or `context`; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else dump(body)
        if data is not None and len(data) > 1_000_000:
            data = io.BytesIO(data)
        stated = dict(headers)
        if data is not None:
            stated = {"content-type": "application/json", **stated} if not isinstance(body, bytes) else stated
        url = aiohttp.client.URL(self.urls[port] + path, encoded=True)
        async with self.client.request(method, url, data=data, headers=stated, skip_auto_headers=["Content-Type"]) as r:
            return Reply(r.status, {k.lower(): v for k, v in r.headers.items()}, await r.read())

    async def group(self, headers: Mapping[str, str] = TENANT, **members: Json) -> Reply:
        """POST one service group."""
        group: dict[str, Json] = {"resource": "/iot/json", "apikey": "123456", "entity_type": "TestType", **members}
        return await self.call("north", "POST", "/iot/services", {"services": [group]}, headers)

    async def device(self, headers: Mapping[str, str] = TENANT, **members: Json) -> Reply:
        """POST one device."""
        return await self.call("north", "POST", "/iot/devices", {"devices": [members]}, headers)

    async def measure(self, body: Any, i: str = "TestDevice", k: str = "123456", more: str = "") -> Reply:
        """POST a JSON measure."""
        return await self.call("south", "POST", f"/iot/json?i={i}&k={k}{more}", body, {})

    async def entities(self, query: str = "", headers: Mapping[str, str] = TENANT) -> Any:
        """GET /v2/entities."""
        reply = await self.call("context", "GET", f"/v2/entities{query}", headers=headers)
        assert reply.status == 200, reply
        return reply.json

    async def entity(self, id: str = "TestType:TestDevice", headers: Mapping[str, str] = TENANT) -> Any:
        """GET one entity."""
        reply = await self.call("context", "GET", f"/v2/entities/{id}", headers=headers)
        assert reply.status == 200, reply
        return reply.json

    async def totals(self, *apps: str) -> tuple[int, ...]:
        """Lines of the journal, readings, and objects of the root app and of `apps`."""
        store = self.backend.store
        counts = [await store.objects.count(app) for app in (self.backend.tenants.root, *apps)]
        return (await store.journal.last(), await store.readings.head(), *counts)

    async def publish(self, *messages: tuple[str, bytes], count: int = 1) -> None:
        """Publish over MQTT at QoS 1 on `count` connections, each all messages; returns when all are acknowledged."""
        await asyncio.gather(*(asyncio.to_thread(_publish, self.mqtt, messages) for _ in range(count)))


def _publish(port: int, messages: Sequence[tuple[str, bytes]]) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        for sent in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
            sent.wait_for_publish(15)
            assert sent.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


async def anybody(request: ConnectRequest) -> Grant:
    """Lets everybody publish anything: who may is `doors/things/connect`'s."""
    return Grant(client_id=request.client_id, allow_publish=lambda _: True, allow_subscribe=lambda _: True)


def _elsewhere(app: AsgiApp) -> AsgiApp:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"loopback_bound": False}
        await app(scope, receive, send)

    return told


@asynccontextmanager
async def open_doors(
    directory: Path, *, loopback: bool = True, clock: Clock | None = None, **settings: object
) -> AsyncIterator[Doors]:
    """Serve the three ports and MQTT on free ports; `loopback=False`: as if bound to an address of the network."""
    async with open_backend(directory, clock=clock, **settings) as backend:
        apps = {"north": agent.north(backend), "south": agent.south(backend), "context": context.app(backend)}
        listeners = {n: HttpListener(a if loopback else _elsewhere(a), "127.0.0.1", 0) for n, a in apps.items()}
        broker = Broker(
            clock=backend.clock,
            entropy=backend.entropy,
            authenticate=anybody,
            sessions=StoredSessions(backend.store),
        )
        for pattern, handler in agent.topics(backend):
            broker.route(pattern, handler)
        try:
            await broker.start()
            mqtt = await serve_tcp(broker, "127.0.0.1", 0)
            for listener in listeners.values():
                await listener.start()
            timeout = aiohttp.ClientTimeout(total=15)
            async with aiohttp.ClientSession(timeout=timeout) as client:
                urls = {name: listener.url for name, listener in listeners.items()}
                yield Doors(backend, client, urls, mqtt)
        finally:
            await broker.close()
            for listener in listeners.values():
                await listener.close()
