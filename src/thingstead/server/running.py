"""A running server: the backend, its doors on their listeners, and an orderly end."""

import asyncio
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from thingstead.core.backend import Backend
from thingstead.doors import agent, context, hypermedia, kits, objects, things, web
from thingstead.embed.embedded import Embedded
from thingstead.embed.listeners import Listener
from thingstead.model.settings import Settings
from thingstead.ports.store import Store
from thingstead.server.compose import Built, build
from thingstead.server.data import DataDirectory
from thingstead.server.environment import SystemEntropy
from thingstead.server.logs.access import recorder
from thingstead.server.logs.files import LogFiles
from thingstead.server.main_port import below, main_port
from thingstead.server.ops import ops
from thingstead.server.plugins import Plugins
from thingstead.server.reporting import Reporter
from thingstead.server.sessions import StoredSessions
from thingstead.transports.http import AsgiApp, TrustedProxies
from thingstead.transports.http.guard import Bounds
from thingstead.transports.http.gzip import gzipped
from thingstead.transports.http.serving import HttpListener, is_loopback, server_context
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Limits
from thingstead.transports.mqtt.listeners import serve_tcp
from thingstead.transports.mqtt.websocket import websocket_app

EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  not to bind to: devices are told a name instead
DESCRIPTORS = 256  # of file descriptors, kept for what is no connection: the store, the index, logs
RENEW_SECONDS = 24 * 3600  # how often the age of the server's certificate is looked at


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where to bind. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8080
    mqtt_port: int = 8883
    mqtt_plain_host: str = "127.0.0.1"  # plain MQTT stays on loopback whatever `host` is (doors.md 31)
    mqtt_plain_port: int = 1883
    agent_port: int = 4041
    south_port: int = 7896
    context_port: int = 1026


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The ready line: every listener answers."""

    event: Literal["ready"] = "ready"
    pid: int
    http: str
    mqtts: str
    mqtt: str
    agent: str
    south: str
    context: str


class Running:
    """Everything that is open while the server runs. Made by `start`."""

    def __init__(
        self,
        built: Built,
        para: Embedded,
        data: DataDirectory,
        broker: Broker,
        streams: hypermedia.Door,
        listeners: list[HttpListener],
        reporter: Reporter,
    ) -> None:
        self.built = built
        self.para = para
        self._data = data
        self._broker = broker
        self._streams = streams
        self._listeners = listeners
        self._reporter = reporter
        loop = asyncio.get_running_loop()
        self._beside = [
            loop.create_task(self._renew(), name="renew certificate"),
            loop.create_task(self._watch(), name="check health"),
        ]
        self.ready: Ready | None = None

    @property
    def backend(self) -> Backend:
        """The parts of core."""
        return self.built.backend

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.built.local.renew()

    async def _watch(self) -> None:
        backend = self.built.backend
        while backend.settings.health_check_enabled:
            await asyncio.sleep(backend.settings.health_check_interval)
            await backend.health.check()

    async def close(self) -> None:
        """Stop taking work, finish what was taken, make it durable, release everything."""
        for task in self._beside:
            task.cancel()
        await self._reporter.close()
        await self._broker.close()
        await self._streams.close()
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        await self.para.end()
        await self.built.close()
        self._data.close()


async def start(
    data: DataDirectory,
    settings: Settings,
    addresses: Addresses,
    pid: int,
    told: Callable[[str], None],
    *,
    store: Store | None = None,
    files: LogFiles | None = None,
    before: Callable[[Embedded], None] | None = None,
    listeners: Sequence[Listener] = (),
) -> Running:
    """Open the data directory's engines and bind every listener; returns once all of them answer.

    `told` gets lines for the operator: root's keys, when they were generated now (doors.md 33). `store` stands in for
    the one that the settings name; `files` gets the access log, if that is on; `before` is called before plug-ins
    begin, and `listeners` begin after theirs. Raises Unavailable, StoreFailed, NotSupported, InvalidInput for a
    certificate or plug-in that cannot be used, or OSError if an address cannot be bound.
    """
    room = _connections()
    secure = server_context(settings.http_certificate, settings.http_key)
    plugins = Plugins.of(data.path, settings)
    built = await build(data.path, settings, data.secret_key(SystemEntropy()), store=store, plugins=plugins)
    backend = built.backend
    if built.root_keys is not None:
        file = data.write_root_keys(built.root_keys.access_key, built.root_keys.secret_key)
        told(f"root app made: access key {built.root_keys.access_key}, secret key {built.root_keys.secret_key}")
        told(f"the keys are shown once; they are kept in {file}")
    para = Embedded(backend)
    try:
        if before is not None:
            before(para)
        await plugins.activate(para, listeners)
        broker = Broker(
            clock=backend.clock,
            entropy=backend.entropy,
            authenticate=things.authenticate(backend),
            sessions=StoredSessions(backend.store),
            limits=Limits(
                max_packet=settings.mqtt_max_packet,
                connections=min(settings.mqtt_max_connections, room),
                connections_of_address=_lenient(settings.mqtt_max_connections_per_address, 5_000),
                connects=_lenient(settings.mqtt_connects, 6_000),
                publish_rate=settings.mqtt_publish_rate,
                failed_authentications=settings.mqtt_failed_authentications,
            ),
        )
        shadows = things.Door(backend, broker)
        v1 = objects.app(backend, para.resources, shadows.resources())
        opened: dict[str, HttpListener] = {}  # filled below, and counted by `ops`
        streams, named = hypermedia.app(backend), ops(backend, broker.current_stats, opened)
        pages = web.app(backend, main_port({"console": named, "docs": named}, streams))
    except BaseException:
        await para.end()
        await built.close()
        raise
    for pattern, handler in (*shadows.topics(), *agent.topics(backend)):
        broker.route(pattern, handler)

    def end_sessions(app: str, thing: str | None = None) -> None:
        things.close_sessions(broker, app, thing)
        if thing is not None:
            backend.audit.note("credentials_ended", app, "", resource=f"thing/{thing}")

    def end_user(app: str, user: str) -> None:
        things.end_user(broker, app, user)

    backend.things.on_revoked(end_sessions)
    backend.token_secrets.on_ended(end_user)
    built.app_kind.disabled = end_sessions
    await broker.start()
    loopback = is_loopback(addresses.host)
    proxies = TrustedProxies(settings.trusted_proxies)
    web_socket = websocket_app(broker, loopback_bound=loopback, client=proxies.client)
    doors: dict[str, AsgiApp] = {
        "v1": v1,
        "jwt_auth": v1,
        "kits": kits.app(backend),
        "things": shadows.app(),
        "api": shadows.app(),
        "mqtt": web_socket,
        "$iothub": web_socket,
        **dict.fromkeys(("health", "metrics"), named),
        **dict.fromkeys(("console", "docs", "signin", "signout", "403", "saml_metadata"), pages),
        **dict.fromkeys(
            (
                "facebook_auth",
                "google_auth",
                "github_auth",
                "linkedin_auth",
                "microsoft_auth",
                "slack_auth",
                "amazon_auth",
                "oauth2_auth",
                "oauth2second_auth",
                "oauth2third_auth",
                "twitter_auth",
                "ldap_auth",
                "passwordless_auth",
                "password_auth",
                "saml_auth",
            ),
            pages,
        ),
    }
    if not settings.api_enabled:
        doors |= {"v1": named, "jwt_auth": named}
    answered = None
    if files is not None and settings.access_log_enabled:
        answered = recorder(files.access, backend.clock, proxies)
    bounds = Bounds(
        connections=min(settings.http_max_connections, room),
        of_address=_lenient(settings.http_max_connections_per_address, 1_000),
        head=settings.http_head_timeout,
        idle=settings.http_idle_timeout,
        frame=max(settings.http_max_frame, settings.mqtt_max_packet),
    )
    try:
        for name, app, port, tls in (
            ("main", below(settings.root_path, main_port(doors, pages)), addresses.port, secure),
            ("agent", agent.north(backend), addresses.agent_port, None),
            ("south", agent.south(backend), addresses.south_port, None),
            ("context", context.app(backend), addresses.context_port, None),
        ):
            answering = gzipped(app) if settings.gzip_enabled else app
            opened[name] = HttpListener(
                answering, addresses.host, port, tls=tls, answered=answered, bounds=bounds, proxies=proxies
            )
        main, north, south, ngsi = opened.values()
        told_host = settings.mqtt_host or (socket.gethostname() if addresses.host in EVERYWHERE else addresses.host)
        mqtt_tls = built.local.ssl_context([told_host])
        mqtts_port = await serve_tcp(broker, addresses.host, addresses.mqtt_port, mqtt_tls)
        mqtt_port = await serve_tcp(broker, addresses.mqtt_plain_host, addresses.mqtt_plain_port)
        built.local.set_endpoint(
            told_host, mqtts_port, main.url.replace("http", "ws", 1) + settings.root_path + "/mqtt"
        )
        for listener in opened.values():
            await listener.start()
        if settings.pidfile_enabled:
            data.write_pid(main.port, pid)
    except BaseException:
        await broker.close()
        await asyncio.gather(*(listener.close() for listener in opened.values()))
        await para.end()
        await built.close()
        raise
    backend.audit.start()
    running = Running(built, para, data, broker, streams, list(opened.values()), Reporter(backend, settings))
    para.url = main.url + settings.root_path
    host = main.url.partition("://")[2].rpartition(":")[0]
    running.ready = Ready(
        pid=pid,
        http=main.url,
        mqtts=f"mqtts://{host}:{mqtts_port}",
        mqtt=f"mqtt://{addresses.mqtt_plain_host}:{mqtt_port}",
        agent=north.url,
        south=south.url,
        context=ngsi.url,
    )
    return running


def _connections() -> int:
    """How many connections the process has file descriptors for, after it took as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(DESCRIPTORS, soft - DESCRIPTORS) if soft != resource.RLIM_INFINITY else sys.maxsize


def _lenient(given: int, default: int) -> int:
    """A limit per address as the transports take it: -1 is the default one, which does not hold at loopback."""
    return -default if given < 0 else given
