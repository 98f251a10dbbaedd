"""Ingest: the one writer of readings and of both sections of every shadow (doors.md 1-5, design.md 4.2).

Whatever a door received becomes `Report`s; all reports of a loop tick, from all doors and connections, become one
durable transaction: readings, one shadow row per thing, and a sensor object for each leaf seen for the first time. Only
then are the doors told (`done`), and after them the listeners. A reading never touches the thing's object, its version
or the index.

Ingest keeps working copies of the shadows it writes; everybody else reads committed rows. If a commit fails, nothing is
acknowledged and the copies are dropped.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from thingstead.core.objects import Feed
from thingstead.core.outbox import Item, Outbox, Said
from thingstead.core.sensors import Found, sensor_key, sensor_put
from thingstead.core.shapes import document_of_put, shadow_put
from thingstead.model import shadow as rules
from thingstead.model.errors import InvalidInput, NotFound, ThingsteadError, Unavailable, VersionMismatch
from thingstead.model.events import ORPHAN, Point, Reported, ShadowChanged, everything, subject
from thingstead.model.paths import escape
from thingstead.model.readings import AHEAD, columns
from thingstead.model.shadow import Attribute, Leaf, Shadow
from thingstead.model.values import Json, JsonObject, dump
from thingstead.ports.environment import Clock, Ids
from thingstead.ports.hub import Hub
from thingstead.ports.index import Document, Removal
from thingstead.ports.queue import Message
from thingstead.ports.store import Batch, Changed, Put, Reading, Refused, Store

WORKING_COPIES: Final = 20_000
GROUP_TIME: Final = 5_000  # microseconds of computing after which a group is committed (design.md 7)
_ATTEMPTS: Final = 10


class Report(msgspec.Struct, kw_only=True, gc=False):
    """What one thing says at one instant, or what is desired of it.

    `reported` and `desired`: unset = not in this report; None = drop the section. Mode `merge`: a patch by the rules
    and limits of things.md 7. Mode `set`: literal top-level names, each replaced whole (doors.md 4). Times: us.
    """

    app: str
    thing: str  # id of a thing, or of an object of type `entity`
    reported: JsonObject | UnsetType | None = UNSET
    desired: JsonObject | UnsetType | None = UNSET
    mode: Literal["merge", "set"] = "merge"
    time: int | None = None  # the device's time of the values; None or too far ahead: the report's stamp (doors.md 13)
    state_by_time: bool = False  # which is newer is decided by `min(time, now)` instead of arrival (doors.md 5)
    version: int | None = None  # the shadow version that must be current
    token: str | None = None  # clientToken
    size: int = 8192  # bytes of the request: an upper bound of what the document grows by
    attributes: Mapping[str, Attribute] | None = None  # NGSI type and metadata of names in `reported`
    remove: Sequence[str] = ()  # top-level names to remove
    delete: bool = False  # drop both sections, and say NotFound if there is nothing to drop


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a report. With `error` nothing of it was stored."""

    version: int = 0
    time: int = 0  # the report's stamp
    points: tuple[tuple[str, Json], ...] = ()  # its leaves; a removed one with None
    error: ThingsteadError | None = None


Done = Callable[[Sequence[Outcome] | BaseException], None]


class _Working(msgspec.Struct):
    """A working copy of one shadow."""

    shadow: Shadow
    rev: int
    slack: int = 0  # bytes the documents may still grow without being measured again


class _Told(msgspec.Struct):
    """What listeners will hear of a run of reports of one thing."""

    key: tuple[str, str]
    parent: str
    version: int
    points: list[Point]


class _Group(msgspec.Struct):
    """Everything that one transaction will hold."""

    touched: dict[tuple[str, str], _Working] = {}
    readings: list[Reading] = []
    found: list[Found] = []
    told: list[_Told] = []
    observed: list[ShadowChanged] = []
    said: dict[str, list[Said]] = {}  # for webhooks, by app


class Ingest:
    """See the module's docstring."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, hub: Hub, feed: Feed, outbox: Outbox) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._hub = hub
        self._feed = feed
        self._outbox = outbox
        self._reporting: frozenset[str] = frozenset()  # apps of the present group whose webhooks want reports
        self._copies: OrderedDict[tuple[str, str], _Working] = OrderedDict()
        self._queue: list[tuple[Sequence[Report], Done]] = []
        self._pump: asyncio.Task[None] | None = None
        self._adopted: dict[tuple[str, str, str], Leaf] = {}
        self._wants_shadow: Callable[[str, str], bool] | None = None
        self._shadow_changed: Callable[[ShadowChanged], None] | None = None

    def observe_shadows(self, wants: Callable[[str, str], bool], changed: Callable[[ShadowChanged], None]) -> None:
        """Have `changed` called for each accepted shadow change for which `wants(app, thing)` held before it, once it
        is durable. One observer, in this process; neither call may raise.

        It is no subject of the hub: two snapshots a report are worth making only where somebody subscribes just now.
        """
        self._wants_shadow = wants
        self._shadow_changed = changed

    # --- the way in

    def submit(self, reports: Sequence[Report], done: Done) -> None:
        """Queue reports; `done` is called once, after they are durable, with one Outcome each, in order.

        With an exception instead, nothing of them was stored. Reports of one thing are applied in the order of calls.
        """
        self._queue.append((reports, done))
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="ingest")

    async def accept(self, reports: Sequence[Report]) -> Sequence[Outcome]:
        """`submit`, awaited. Raises StoreFailed."""
        future: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()

        def done(outcomes: Sequence[Outcome] | BaseException) -> None:
            if future.done():
                return
            if isinstance(outcomes, BaseException):
                future.set_exception(outcomes)
            else:
                future.set_result(outcomes)

        self.submit(reports, done)
        return await future

    async def report(self, report: Report) -> Outcome:
        """One report. Raises what its Outcome would hold, or StoreFailed."""
        outcome = (await self.accept([report]))[0]
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def delete_shadow(self, app: str, thing: str, token: str | None = None) -> Outcome:
        """Drop both sections; the version goes on counting (things.md 7.3). Raises NotFound if there is no content."""
        return await self.report(Report(app=app, thing=thing, delete=True, token=token, size=0))

    def forget(self, app: str, thing: str) -> None:
        """Drop the working copy: somebody else wrote this shadow's row."""
        self._copies.pop((app, thing), None)

    async def close(self) -> None:
        """Wait until everything submitted is settled."""
        while self._pump is not None:
            await asyncio.wait([self._pump])

    # --- groups

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._group()
        finally:
            self._pump = None
            if self._queue:  # the pump itself was cancelled: nobody may wait for ever
                queue, self._queue = self._queue, []
                self._fail(queue, Unavailable("the server is stopping"))

    async def _group(self) -> None:
        """Load, compute and store what is queued now; what arrives meanwhile waits for the next group."""
        entries, self._queue = self._queue, []
        try:
            for _ in range(_ATTEMPTS):
                await self._load(entries)
                if self._outbox.enabled:
                    apps = {report.app for reports, _ in entries for report in reports}
                    self._reporting = await self._outbox.reporting(apps)
                outcomes, group = self._compute(entries)
                entries, self._queue = entries[: len(outcomes)], entries[len(outcomes) :] + self._queue
                if await self._commit(group):
                    self._settle(entries, outcomes, group)
                    return
            raise Unavailable("the shadow is being changed too often; try again")
        except asyncio.CancelledError:
            self._fail(entries, Unavailable("the server is stopping"))
            raise
        except Exception as error:
            self._fail(entries, error)

    def _fail(self, entries: Sequence[tuple[Sequence[Report], Done]], error: BaseException) -> None:
        self._copies.clear()
        for _, done in entries:
            _call(done, error)

    async def _load(self, entries: Sequence[tuple[Sequence[Report], Done]]) -> None:
        """Make working copies of every shadow that `entries` name; drop the oldest others beyond the bound."""
        copies = self._copies
        wanted: dict[str, set[str]] = {}
        for reports, _ in entries:
            for report in reports:
                if (report.app, report.thing) not in copies:
                    wanted.setdefault(report.app, set()).add(report.thing)
        for things in wanted.values():
            while copies and len(copies) + len(things) > WORKING_COPIES:
                copies.popitem(last=False)
        for app, things in wanted.items():
            rows = await self._store.shadows.get_many(app, list(things))
            for thing, row in rows.items():
                copies[(app, thing)] = _Working(rules.decode(row.document), row.rev)

    def _compute(self, entries: Sequence[tuple[Sequence[Report], Done]]) -> tuple[list[list[Outcome]], _Group]:
        """Apply submissions, in order, to the working copies until the group's time is up."""
        group = _Group()
        outcomes: list[list[Outcome]] = []
        now = self._clock.now()
        for reports, _ in entries:
            outcomes.append([self._apply(report, now, group) for report in reports])
            if self._clock.now() - now > GROUP_TIME:
                break
        return outcomes, group

    def _apply(self, report: Report, now: int, group: _Group) -> Outcome:
        key = (report.app, report.thing)
        working = self._copies.get(key)
        if working is None:
            return Outcome(error=NotFound("Thing not found", field="thing"))
        shadow = working.shadow
        if report.version is not None and report.version != shadow.version:
            return Outcome(error=VersionMismatch("Version conflict", field="version"))
        if report.delete and not shadow.reported and not shadow.desired:
            return Outcome(error=NotFound("No shadow exists", field="shadow"))
        merging = report.mode == "merge"
        before: bytes | None = None
        try:
            if not merging:
                rules.check_values(report.reported or {})
            elif report.reported is not UNSET:
                rules.check_section("reported", report.reported)
            if report.desired is not UNSET:
                rules.check_section("desired", report.desired)
        except InvalidInput as error:
            return Outcome(error=error)
        if merging:
            if working.slack < report.size:
                before = rules.encode(shadow)
            else:
                working.slack -= report.size
        observed = self._wants_shadow is not None and not report.delete and self._wants_shadow(*key)
        previous = rules.decode(before or rules.encode(shadow)) if observed else None
        stamp = max(now, shadow.last_stamp + 1)
        time = stamp if report.time is None or report.time > now + AHEAD else report.time
        at = min(time, stamp) if report.state_by_time else stamp
        pairs: list[tuple[str, Json]] = []
        if report.reported is None or report.delete:
            pairs = rules.drop_reported(shadow, at)
        elif report.reported is not UNSET:
            if merging:
                pairs = rules.merge_reported(shadow, report.reported, at)
            else:
                pairs = rules.set_reported(shadow, report.reported, at)
        if report.remove:
            pairs = [*pairs, *rules.drop_reported(shadow, at, list(report.remove))]
        if report.desired is None or report.delete:
            shadow.desired.clear()
            shadow.desired_at.clear()
        elif report.desired is not UNSET:
            rules.merge_desired(shadow, report.desired, at)
        if before is not None:
            size = len(dump(shadow.reported)) + len(dump(shadow.desired))
            try:
                rules.check_size(shadow)
            except InvalidInput as error:
                working.shadow = rules.decode(before)
                working.slack = 0
                return Outcome(error=error)
            working.slack = rules.MAX_BYTES - size
        elif not merging:
            working.slack = 0
        if report.attributes is not None:
            for name, attribute in report.attributes.items():
                if name in shadow.reported:
                    shadow.attributes[name] = attribute
        shadow.version += 1
        shadow.last_stamp = stamp
        shadow.updated = now
        if pairs:
            shadow.last_seen = now
            shadow.shown = shadow.shown or bool(shadow.reported)
            self._read(key, working, pairs, time, group)
        group.touched[key] = working
        if previous is not None:
            current = rules.decode(rules.encode(shadow))
            group.observed.append(ShadowChanged(report.app, report.thing, previous, current, stamp, report.token))
        return Outcome(shadow.version, stamp, tuple(pairs))

    def _read(
        self, key: tuple[str, str], working: _Working, pairs: list[tuple[str, Json]], time: int, group: _Group
    ) -> None:
        """Turn the leaves of a report into readings."""
        shadow = working.shadow
        leaves = shadow.leaves
        readings = group.readings
        for path, value in pairs:
            leaf = leaves.get(path)
            if value is None:
                if leaf is not None and leaf.series:
                    readings.append(Reading(leaf.series, time, None, None))
                continue
            if leaf is None or not leaf.series:
                leaf = self._new_leaf(key, shadow, path, value, leaf, group)
                if not leaf.series:
                    continue
            row = (value, None) if type(value) is float and value - value == 0.0 else columns(value)
            if row is None:
                continue
            readings.append(Reading(leaf.series, time, row[0], row[1]))
            if time >= leaf.time:
                leaf.time = time
                leaf.value = value
        if key[0] in self._reporting and any(value is not None for _, value in pairs):
            group.said.setdefault(key[0], []).append(Said(key[1], time, shadow.version, tuple(pairs)))
        if not self._hub.quiet:
            self._tell(key, shadow, pairs, time, group)

    def _new_leaf(
        self, key: tuple[str, str], shadow: Shadow, path: str, value: Json, old: Leaf | None, group: _Group
    ) -> Leaf:
        """The leaf of a path never reported before (or whose sensor was deleted), with a sensor unless over the cap."""
        leaf = self._adopted.pop((*key, path), None)
        if leaf is None:
            leaf = Leaf(0, "", shadow.last_stamp)
            if sum(1 for other in shadow.leaves.values() if other.series) < rules.MAX_SENSORS:
                number = self._ids.next()
                leaf.series, leaf.sensor = number, str(number)
                name = path.partition(".")[0]
                attribute = shadow.attributes.get(name) if escape(name) == path else None
                group.found.append(Found(*key, path, number, value, attribute))
        if old is not None:
            leaf.state_at = old.state_at
        shadow.leaves[path] = leaf
        return leaf

    def _tell(
        self, key: tuple[str, str], shadow: Shadow, pairs: list[tuple[str, Json]], time: int, group: _Group
    ) -> None:
        points = [
            Point(path, shadow.leaves[path].sensor, value, time)
            for path, value in pairs
            if value is not None and path in shadow.leaves
        ]
        if not points:
            return
        if group.told and group.told[-1].key == key:  # one event for a run of reports: a long list floods nobody
            told = group.told[-1]
            told.version = shadow.version
            told.points += points
        else:
            group.told.append(_Told(key, shadow.parent, shadow.version, points))

    # --- one transaction

    async def _commit(self, group: _Group) -> bool:
        """Store a group. False: a row had moved on, its copy was dropped, compute again. Raises StoreFailed."""
        if not group.touched:
            return True
        puts: list[Put] = []
        if group.found:
            puts = await self._sensors(group)
        keys = list(group.touched)
        shadows = [shadow_put(*key, group.touched[key].shadow, group.touched[key].rev) for key in keys]
        messages = await self._messages(group, puts) if self._outbox.enabled else ()
        committed = await self._store.commit(
            Batch(changes=puts, shadows=shadows, readings=group.readings, messages=messages, together=True)
        )
        if committed.refused:
            for found, result in zip(group.found, committed.changes, strict=True):
                if isinstance(result, Refused) and result.holder is not None:
                    await self._adopt(found, result.holder)
            self._copies.clear()
            return False
        for key, result in zip(keys, committed.shadows, strict=True):
            if isinstance(result, Changed):
                group.touched[key].rev = result.rev
        if puts:
            documents: list[Document | Removal] = [
                document_of_put(put, result.seq, new=result.created)
                for put, result in zip(puts, committed.changes, strict=True)
                if isinstance(result, Changed)
            ]
            self._feed.written(documents)
        return True

    async def _messages(self, group: _Group, puts: Sequence[Put]) -> list[Message]:
        """What webhooks hear of a group: reports together, each new sensor by itself."""
        messages: list[Message] = []
        for put in puts:
            messages += await self._outbox.changed(put.app, "create", [Item(put.type, put.public)])
        for app, said in group.said.items():
            messages += await self._outbox.reported(app, said)
        return messages

    async def _sensors(self, group: _Group) -> list[Put]:
        """The objects of sensors found by this group; units come from the things' `sensorUnits`."""
        things: dict[tuple[str, str], bytes] = {}
        for app in {found.app for found in group.found}:
            wanted = list({found.thing for found in group.found if found.app == app})
            for row in await self._store.objects.get_many(app, wanted):
                things[(app, row.id)] = row.public
        now_ms = self._clock.now() // 1000
        return [sensor_put(found, things.get((found.app, found.thing)), now_ms) for found in group.found]

    async def _adopt(self, found: Found, holder: str) -> None:
        """A sensor of this (thing, path) exists already: its leaf gets the sensor's series."""
        row = await self._store.objects.find(sensor_key(found.app, found.thing, found.path))
        if row is not None and row.private is not None:
            series = msgspec.json.decode(row.private).get("series", 0)
            self._adopted[(found.app, found.thing, found.path)] = Leaf(int(series), holder, 0)

    def _settle(
        self, entries: Sequence[tuple[Sequence[Report], Done]], outcomes: Sequence[Sequence[Outcome]], group: _Group
    ) -> None:
        for (_, done), results in zip(entries, outcomes, strict=True):
            _call(done, results)
        if self._shadow_changed is not None:
            for change in group.observed:
                self._shadow_changed(change)
        for told in group.told:
            app, thing = told.key
            event = Reported(app, thing, told.parent, told.version, tuple(told.points))
            sensors = {subject(app, point.sensor) for point in told.points if point.sensor}
            self._hub.publish(
                [everything(app), subject(app, thing), subject(app, told.parent or ORPHAN), *sensors], event
            )


def _call(done: Done, outcomes: Sequence[Outcome] | BaseException) -> None:
    try:
        done(outcomes)
    except Exception as error:  # one door's trouble must not keep the others from their acknowledgements
        asyncio.get_running_loop().call_exception_handler({"message": "a report's callback failed", "exception": error})
