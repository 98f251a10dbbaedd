"""Metrics on their way out: `para-metrics.log`, and Graphite (objects.md 18).

Promises: a Graphite that does not answer is told once in the log, and again after it has worked; nothing waits for it.
The hosts that apps other than root name are refused at private addresses, unless in `para.outbound_allow`.
An app's metrics go where its setting `metricsGraphiteReporter` says, `{"host", "port"}`. These settings are mirrored in
`Registry:GraphiteReporter` of the root app, one member an app, which is read again every minute; without the setting
the push stops.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from thingstead.core.backend import Backend
from thingstead.core.metrics import SYSTEM, Registry
from thingstead.core.objects import Draft
from thingstead.core.outbound import connected
from thingstead.model.errors import AppNotFound, MalformedBody, NotFound, ThingsteadError
from thingstead.model.metrics import TICK, filled, graphite, logged
from thingstead.model.objects import NOT_CUSTOM
from thingstead.model.outbound import allowed
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.model.values import Json, JsonObject, is_object, parse
from thingstead.server.logs.lines import METRICS

MIRROR: Final = "Registry:GraphiteReporter"
SETTING: Final = "metricsGraphiteReporter"
_MIRROR_SECONDS: Final = 60
_PUSH_SECONDS: Final = 10
_MOST_NAMES: Final = 1_000

log = logging.getLogger(__name__)
metrics_log = logging.getLogger(METRICS)


class Reporter:
    """Runs from its making to `close`."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._metrics = backend.metrics
        self._settings = settings
        self._allowed = allowed(settings.outbound_allow)
        self._root = backend.tenants.root
        self._instance = settings.instance_id or str(settings.worker_id)
        self._targets: dict[str, tuple[str, int]] = {}
        self._changed: set[str] = set()
        self._failing: set[str] = set()
        self._pushes: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        if self._metrics.enabled:
            backend.tenants.watch(self._app_changed)
            self._task = asyncio.get_running_loop().create_task(self._run(), name="metrics")

    async def close(self) -> None:
        """Stop at once."""
        tasks = [task for task in (self._task, *self._pushes) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _app_changed(self, app: str) -> None:
        self._changed.add(app)
        self._metrics.begin(app)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        rate, period = self._settings.metrics_logging_rate, self._settings.graphite_period
        log_at, push_at, mirror_at = now + rate, now + period, now
        if rate:
            await self._guarded("log", self._log_apps)
        while True:
            now = loop.time()
            self._metrics.settle()
            if self._changed:
                await self._guarded("mirror", self._mirror)
            if now >= mirror_at:
                mirror_at = now + _MIRROR_SECONDS
                await self._guarded("mirror", self._read_mirror)
            if rate and now >= log_at:
                log_at += rate * max(1, int((now - log_at) / rate))
                await self._guarded("log", self._log_system)
            if period and now >= push_at:
                push_at += period * max(1, int((now - push_at) / period))
                self._push_all()
            due = [at for at, on in ((log_at, rate), (push_at, period)) if on]
            await asyncio.sleep(max(0.05, min([TICK / 1e6, *(at - loop.time() for at in due)])))

    async def _guarded(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
            self._failing.discard(what)
        except (ThingsteadError, OSError) as error:
            self._failed(what, error)

    def _failed(self, what: str, error: Exception) -> None:
        if what not in self._failing:
            self._failing.add(what)
            log.warning("metrics: %s fails: %s", what, error if str(error) else type(error).__name__)

    # --- the log

    async def _log_apps(self) -> None:
        names: list[str] = []
        after = 0
        while len(names) < _MOST_NAMES and (
            found := await self._backend.objects.list(self._root, type="app", after=after, limit=100)
        ):
            names += [f"{obj.id} (root)" if obj.id == f"app:{self._root}" else obj.id for obj in found]
            after = found[-1].docid
            for obj in found:
                self._metrics.begin(obj.id.removeprefix("app:"))
        self._write([f"apps={', '.join(names[:_MOST_NAMES])}"])

    async def _log_system(self) -> None:
        values = self._metrics.system.values(self._backend.clock.now())
        self._write([logged(kind, f"{SYSTEM}.{name}", found) for kind, name, found in values])

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            metrics_log.info("%s", line)

    # --- Graphite

    def _push_all(self) -> None:
        settings = self._settings
        if settings.graphite_host:
            prefix = filled(settings.graphite_prefix_system, instance=self._instance, app=SYSTEM)
            self._push(SYSTEM, (settings.graphite_host, settings.graphite_port), prefix, self._metrics.system)
        for app, target in self._targets.items():
            prefix = filled(settings.graphite_prefix_apps, instance=self._instance, app=app)
            self._push(app, target, prefix, self._metrics.registry(app))

    def _push(self, app: str, target: tuple[str, int], prefix: str, registry: Registry) -> None:
        if app in {task.get_name() for task in self._pushes}:
            return  # the last one still waits for its host
        now = self._backend.clock.now()
        values = [(name, found) for _, name, found in registry.values(now)]
        body = graphite(prefix, values, now // 1_000_000)
        task = asyncio.get_running_loop().create_task(self._send(app, target, body), name=app)
        self._pushes.add(task)
        task.add_done_callback(self._pushes.discard)

    async def _send(self, app: str, target: tuple[str, int], body: bytes) -> None:
        what = f"Graphite of {app}"
        try:
            async with asyncio.timeout(_PUSH_SECONDS):
                made = await connected(*target, allowed=self._allowed, trusted=app in (SYSTEM, self._root))
                _, writer = await asyncio.open_connection(sock=made)
                try:
                    writer.write(body)
                    await writer.drain()
                finally:
                    writer.close()
                    await writer.wait_closed()
            self._failing.discard(what)
        except (OSError, ValueError) as error:  # ValueError: a host that is no name
            self._failed(what, error)

    # --- where apps want theirs

    async def _mirror(self) -> None:
        """Write into the mirror what the settings of changed apps say."""
        changed, self._changed = self._changed, set()
        try:
            present = self._members(await self._found())
            patch: JsonObject = {}
            for app in changed:
                wanted = await self._wanted(app)
                if wanted != present.get(_member(app)):
                    patch[_member(app)] = wanted
            if patch:
                await self._store(patch)
                await self._read_mirror()
        except BaseException:
            self._changed |= changed
            raise

    async def _wanted(self, app: str) -> Json:
        try:
            found = (await self._backend.tenants.get(app)).settings.get(SETTING)
        except AppNotFound:
            return None
        if isinstance(found, str):
            try:
                found = parse(found)
            except MalformedBody:
                return None
        target = _target(found)
        return None if target is None else {"host": target[0], "port": target[1]}

    async def _store(self, patch: JsonObject) -> None:
        actor = Principal("app", self._root, root=True)
        try:
            await self._backend.objects.patch(self._root, MIRROR, patch, actor)
        except NotFound:
            kept = {name: value for name, value in patch.items() if value is not None}
            draft = Draft(type="sysprop", id=MIRROR, body={"name": MIRROR, **kept})
            await self._backend.objects.create(self._root, draft, actor)

    async def _found(self) -> JsonObject:
        try:
            return (await self._backend.objects.get(self._root, MIRROR)).custom
        except NotFound:
            return {}

    def _members(self, custom: JsonObject) -> JsonObject:
        return {name: value for name, value in custom.items() if is_object(value)}

    async def _read_mirror(self) -> None:
        found = {name: _target(value) for name, value in self._members(await self._found()).items()}
        self._targets = {name.removeprefix("app:"): target for name, target in found.items() if target is not None}


def _member(app: str) -> str:
    """An app's member of the mirror; those named like a field of every object have their prefix."""
    return f"app:{app}" if app in NOT_CUSTOM else app


def _target(value: Json) -> tuple[str, int] | None:
    """Host and port of `{"host", "port"}`, None if that is not what it is."""
    if not is_object(value):
        return None
    host, port = value.get("host"), value.get("port", 2003)
    if isinstance(port, str) and port.isdecimal():
        port = int(port)
    if not isinstance(host, str) or not host.strip() or not isinstance(port, int) or isinstance(port, bool):
        return None
    return (host.strip(), port) if 0 < port < 65536 else None
