"""`/health` and `/metrics` on the main port, and paths that are named but have nothing behind them yet (doors.md 30).

Metrics are Prometheus text, for a listener bound to loopback or the root app (HTTP Basic or a super token).
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from thingstead.core.backend import Backend
from thingstead.core.health import Health
from thingstead.core.metrics import SYSTEM, Metrics
from thingstead.model.errors import ThingsteadError
from thingstead.model.values import JsonObject, dump
from thingstead.transports.http import AsgiApp, Receive, Scope, Send, bound_to_loopback, send_answer
from thingstead.transports.http.serving import HttpListener
from thingstead.transports.mqtt.contract import Stats


class _Mqtt(Collector):
    """Counters of the MQTT transport."""

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """What is there now, and what has happened since the start."""
        stats = self._stats()
        for name in ("connections", "sessions", "subscriptions", "retained"):
            yield GaugeMetricFamily(f"thingstead_mqtt_{name}", f"MQTT {name} now", getattr(stats, name))
        for name in ("received", "delivered", "dropped", "denied", "refused", "limited"):
            yield CounterMetricFamily(
                f"thingstead_mqtt_{name}", f"MQTT messages or clients {name}", getattr(stats, name)
            )


class _Requests(Collector):
    """HTTP requests of each listener, answered or failed, and the seconds they took."""

    def __init__(self, listeners: Mapping[str, HttpListener]) -> None:
        self._listeners = listeners

    def collect(self) -> Iterator[SummaryMetricFamily]:
        """By listener."""
        family = SummaryMetricFamily("thingstead_http_request_seconds", "HTTP requests by port", labels=["port"])
        for name, listener in self._listeners.items():
            family.add_metric([name], listener.requests, listener.seconds)
        yield family


class _Limits(Collector):
    """What was refused because somebody had too much of it, and what the audit trail did."""

    def __init__(self, backend: Backend, listeners: Mapping[str, HttpListener]) -> None:
        self._backend = backend
        self._listeners = listeners

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """By door or listener, and by limit."""
        reached = CounterMetricFamily("thingstead_limits_reached", "requests over a limit", labels=["door", "limit"])
        for (door, limit), count in self._backend.limits.reached.items():
            reached.add_metric([door, limit], count)
        yield reached
        opened = GaugeMetricFamily("thingstead_http_connections", "HTTP connections now", labels=["port"])
        ended = CounterMetricFamily(
            "thingstead_http_connections_refused", "connections refused or cut", labels=["port", "limit"]
        )
        for name, listener in self._listeners.items():
            guard = listener.guard
            opened.add_metric([name], guard.places.open)
            for limit, count in (
                ("connections", guard.places.full),
                ("address", guard.places.crowded),
                ("head", guard.slow_heads),
                ("idle", guard.idled),
                ("size", guard.large),
            ):
                ended.add_metric([name, limit], count)
        yield opened
        yield ended
        audit = self._backend.audit
        for name, about in (
            ("noted", "events noted in the audit trail"),
            ("written", "writes of its objects"),
            ("dropped", "entries of it that were never written"),
        ):
            yield CounterMetricFamily(f"thingstead_audit_{name}", about, getattr(audit, name))


class _Dropped(Collector):
    """What devices sent that could not be taken."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[CounterMetricFamily]:
        """By topics: the things' or the agent's."""
        family = CounterMetricFamily("thingstead_messages_dropped", "messages that could not be taken", labels=["door"])
        for door in ("agent", "things"):
            family.add_metric([door], self._metrics.counter(SYSTEM, door, "dropped").count)
        yield family


def _health(health: Health) -> tuple[int, bytes]:
    """What the last check found, part by part; 503 for load balancers if one does not do its work."""
    parts: JsonObject = {name: _word(good) for name, good in health.parts.items()}
    body: JsonObject = {"message": _word(health.healthy), "parts": parts}
    if health.checked:
        body["checked"] = health.checked // 1000
    return 200 if health.healthy else 503, dump(body)


def _word(good: bool) -> str:
    return "healthy" if good else "unhealthy"


class _Queues(Collector):
    """Webhooks and river: what has become of their messages, and how many wait."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lengths: list[tuple[str, int, int]] = []

    async def look(self) -> None:
        """Count the queues; called before `collect`, which cannot wait."""
        webhooks, river = await self._backend.webhooks.count(), await self._backend.river.count()
        self._lengths = [("webhooks", webhooks.waiting, webhooks.dead), ("river", river.waiting, river.dead)]

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """What is there now, and what has happened since the start."""
        waiting = GaugeMetricFamily("thingstead_queue_waiting", "Messages in the queue", labels=("queue",))
        dead = GaugeMetricFamily("thingstead_queue_dead", "Messages given up and kept", labels=("queue",))
        for name, length, buried in self._lengths:
            waiting.add_metric((name,), length)
            dead.add_metric((name,), buried)
        yield waiting
        yield dead
        stats = self._backend.webhooks.stats
        for name, about in (
            ("delivered", "Webhook requests answered with success"),
            ("failed", "Webhook requests that failed"),
            ("given_up", "Webhook deliveries given up"),
            ("disabled", "Webhooks disabled after failures"),
        ):
            yield CounterMetricFamily(f"thingstead_webhooks_{name}", about, getattr(stats, name))
        yield CounterMetricFamily(
            "thingstead_webhooks_dropped",
            "Webhook deliveries that did not fit into a backlog",
            self._backend.webhooks.dropped,
        )
        yield CounterMetricFamily(
            "thingstead_river_handled", "River messages handled", self._backend.river.stats.handled
        )
        yield CounterMetricFamily(
            "thingstead_river_dropped", "River messages dropped", self._backend.river.stats.dropped
        )


def ops(backend: Backend, stats: Callable[[], Stats], listeners: Mapping[str, HttpListener]) -> AsgiApp:
    """The app for `/health`, `/metrics` and named paths without anything behind them: 404."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    queues = _Queues(backend)
    for collector in (
        _Mqtt(stats),
        _Dropped(backend.metrics),
        _Requests(listeners),
        _Limits(backend, listeners),
        queues,
    ):
        registry.register(collector)

    async def allowed(scope: Scope) -> bool:
        if bound_to_loopback(scope):
            return True
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            return (await backend.access.principal(headers)).root
        except ThingsteadError:
            return False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path: str = scope["path"].rstrip("/")
        if path == "/health":
            await send_answer(send, *_health(backend.health))
        elif path == "/metrics" and await allowed(scope):
            await queues.look()
            await send_answer(send, 200, generate_latest(registry), content_type=b"text/plain; version=0.0.4")
        elif path == "/metrics":
            body = b'{"code":403,"message":"Metrics are for loopback or the root app."}'
            await send_answer(send, 403, body)
        else:
            await send_answer(send, 404, b'{"code":404,"message":"Not Found"}')

    return app
