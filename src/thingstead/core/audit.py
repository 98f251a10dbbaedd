"""The audit trail (identity.md 17): who did what that matters to the security of an app, as log lines and as objects
of type `audit` that the app can read.

`note` is synchronous, costs little and never raises. Ids only: a secret, a token or a text of a provider is nobody's
detail.

Promises: equal events of a minute are one line, one object and a count, and the different ones that strangers can cause
are bounded, so that no flood fills a disk; objects are written in the background, from a bounded queue, into a tenant
that no request can name (`model/audit.trail_of`): nothing but this module writes it, no search of the app's objects
finds it, no archive takes it along, no webhook hears of it. What an end of the process may lose are the objects of the
last second; lines are written at once.
"""

import asyncio
import logging
from collections import deque
from typing import Final

from thingstead.core.objects import Feed
from thingstead.core.shapes import document_of_put, object_of
from thingstead.core.tenants import Tenants
from thingstead.core.writes import beside
from thingstead.model import audit as rules
from thingstead.model.audit import Entry
from thingstead.model.errors import AppNotFound, ThingsteadError
from thingstead.model.ids import APP_PREFIX
from thingstead.model.rates import Rate
from thingstead.model.settings import Settings
from thingstead.ports.environment import Clock, Ids
from thingstead.ports.index import Document, Removal
from thingstead.ports.store import Batch, Changed, Put, Remove, Store, StoredObject

LOGGER: Final = "thingstead.audit"
WAITING: Final = 10_000  # entries that wait to be written; the oldest are dropped
RECENT: Final = 10_000  # entries that still count
OF_APP: Final = 100  # different entries a minute that strangers can cause in one app
OF_ALL: Final = 1_000  # and in all apps
_EVERY: Final = 1.0  # seconds between writes
_AT_ONCE: Final = 500
_TRIMMED: Final = 3_600_000_000  # how often the age of all trails is looked at, microseconds
_DAY: Final = 86_400_000  # ms
_OTHERS: Final = "more than could be told apart"

_trail = logging.getLogger(LOGGER)
_log = logging.getLogger(__name__)


class Audit:
    """See the module's docstring. Lines are written from the start, objects between `start` and `close`."""

    def __init__(self, store: Store, tenants: Tenants, feed: Feed, settings: Settings, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._tenants = tenants
        self._feed = feed
        self._clock = clock
        self._ids = ids
        self._enabled = settings.audit_enabled
        self._most = settings.audit_max_entries
        self._life = settings.audit_max_days * _DAY
        self._recent: dict[tuple[str, ...], Entry] = {}  # the one that began first is first
        self._waiting: deque[Entry] = deque()
        self._of_app = Rate(OF_APP)
        self._of_all = Rate(OF_ALL)
        self._sizes: dict[str, int] = {}  # entries of a trail, as far as they were counted
        self._trimmed = 0
        self._task: asyncio.Task[None] | None = None
        self.noted = 0
        """Events so far."""
        self.written = 0
        """Objects written so far, each update of a count as well."""
        self.dropped = 0
        """Entries that were never written: the queue was full."""

    def note(self, event: str, app: str, actor: str, **details: str) -> None:
        """Something happened: `event` in snake case, `app` a bare identifier ("" for none), `actor` an id.

        Details that the trail knows by name: outcome, resource, right, rule, reason, provider, address, door.
        """
        self.noted += 1
        now = self._clock.now()
        fields = rules.fields(app, actor, details)
        key = rules.same(event, app, fields)
        entry = self._recent.get(key)
        if entry is None or now - entry.first >= rules.WINDOW:
            app, few = self._bounded(event, app, now)
            if not few:
                fields = rules.fields(app, "", {"rule": _OTHERS})
                key = rules.same(event, app, fields)
                entry = self._recent.get(key)
        if entry is not None and now - entry.first < rules.WINDOW:
            entry.count += 1
            entry.last = now
            return
        if entry is not None:
            self._over(self._recent.pop(key))
        entry = self._recent[key] = Entry(event, app, fields, now, now, self._ids.next())
        if len(self._recent) > RECENT:
            self._over(self._recent.pop(next(iter(self._recent))))
        self._say(entry)
        self._wait(entry)

    def _bounded(self, event: str, app: str, now: int) -> tuple[str, bool]:
        """The app that an entry of its own is for, and whether there are few enough of these."""
        if event not in rules.FLOODING:
            return app, True
        of_app, of_all = self._of_app.hit(app, now), self._of_all.hit("", now)
        return "" if of_all else app, not (of_app or of_all)

    def _over(self, entry: Entry) -> None:
        """Nothing more is counted in this entry."""
        if entry.count > 1:
            self._say(entry)
            self._wait(entry)

    def _say(self, entry: Entry) -> None:
        fields = entry.fields if entry.count == 1 else {**entry.fields, "count": str(entry.count)}
        _trail.info("%s", rules.line(entry.event, fields), extra={rules.ATTRIBUTE: {"event": entry.event, **fields}})

    def _wait(self, entry: Entry) -> None:
        if not (self._enabled and entry.app):
            return
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(entry)

    # --- objects

    def start(self) -> None:
        """Write objects from now on."""
        if self._enabled and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="audit")

    async def close(self) -> None:
        """Write what waits, the counts of entries that are not over included, if objects are written at all."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        for key in list(self._recent):
            self._over(self._recent.pop(key))
        await self.write()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self.write()
            if self._clock.now() - self._trimmed >= _TRIMMED:
                self._trimmed = self._clock.now()
                await self.trim()

    async def write(self) -> None:
        """Store what waits now; what cannot be stored waits on. Never raises an error of ours."""
        now = self._clock.now()
        while self._recent:
            key = next(iter(self._recent))
            if now - self._recent[key].first < rules.WINDOW:
                break
            self._over(self._recent.pop(key))
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            try:
                await self._store_entries(taken)
            except ThingsteadError as error:
                _log.warning("the audit trail cannot be written now: %s", error)
                self._waiting.extendleft(reversed(taken))
                return

    async def _store_entries(self, entries: list[Entry]) -> None:
        there: dict[str, bool] = {}
        for app in {entry.app for entry in entries}:
            there[app] = await self._exists(app)
        latest = {entry.number: entry for entry in entries if there[entry.app] and entry.count != entry.written}
        puts = [
            Put(rules.trail_of(entry.app), str(entry.number), rules.TYPE, entry.number, entry.public())
            for entry in latest.values()
        ]
        counts = [entry.count for entry in latest.values()]
        if not puts:
            return
        await self._feed.room()
        committed = await self._store.commit(Batch(changes=puts))
        documents: list[Document | Removal] = []
        for entry, count, put, result in zip(latest.values(), counts, puts, committed.changes, strict=True):
            if isinstance(result, Changed):
                entry.written = count
                self.written += 1
                documents.append(document_of_put(put, result.seq, new=result.created))
                if result.created and entry.app in self._sizes:
                    self._sizes[entry.app] += 1
        self._feed.written(documents)
        for app in {entry.app for entry in latest.values()}:
            await self._shorten(app)

    async def _exists(self, app: str) -> bool:
        try:
            return self._tenants.cached(app) is not None or bool(await self._tenants.get(app))
        except AppNotFound:
            self._sizes.pop(app, None)
            return False

    # --- bounds

    async def _shorten(self, app: str) -> None:
        """Remove what an app's trail has too much of."""
        trail = rules.trail_of(app)
        size = self._sizes.get(app)
        if size is None:
            size = await self._store.objects.count(trail)
        while size > self._most:
            oldest = await self._store.objects.scan(trail, limit=min(_AT_ONCE, size - self._most))
            if not oldest:
                break
            await self._remove(trail, oldest)
            size -= len(oldest)
        self._sizes[app] = size

    async def trim(self) -> None:
        """Remove what is too old from all trails. Never raises an error of ours."""
        after = 0
        root = self._tenants.root
        try:
            while apps := await self._store.objects.scan(root, type="app", after=after, limit=_AT_ONCE):
                for row in apps:
                    await self._age(row.id.removeprefix(APP_PREFIX))
                after = apps[-1].docid
        except ThingsteadError as error:
            _log.warning("the audit trail cannot be trimmed now: %s", error)

    async def _age(self, app: str) -> None:
        trail, oldest = rules.trail_of(app), self._clock.now() // 1000 - self._life
        found = await self._store.objects.scan(trail, limit=1)
        while found and _made(found[0]) < oldest:
            rows = await self._store.objects.scan(trail, limit=_AT_ONCE)
            await self._remove(trail, [row for row in rows if _made(row) < oldest])
            self._sizes.pop(app, None)
            found = await self._store.objects.scan(trail, limit=1)

    async def _remove(self, trail: str, rows: list[StoredObject]) -> None:
        changes = [Remove(trail, row.id) for row in rows]
        committed = await self._store.commit(Batch(changes=changes))
        self._feed.written(beside(changes, committed.changes))


def _made(row: StoredObject) -> int:
    """When an entry began, ms."""
    return object_of(row).timestamp
