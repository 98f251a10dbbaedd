"""Metrics (objects.md 18): timers and counters of each app, and of all apps together as `_system`.

Recording is an append to a list; `settle`, called once a tick, works the lists off. A registry begins at zero with its
app's first use, and shows every name that is always there. At most MOST_APPS registries are kept: the app that was
recorded least lately begins at zero again. Metrics are of this process and begin with it.

Plug-ins: `metrics.counter(app, owner, name).inc()`, `with metrics.time(app, owner, name): ...`.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from cachebox import LRUCache

from thingstead.model.metrics import Counter, Timer, batch_of
from thingstead.ports.environment import Clock

SYSTEM: Final = "_system"
MOST_APPS: Final = 1_000
_MOST_NAMES: Final = 1_000  # of one registry
_MOST_PENDING: Final = 2_000  # recorded and not settled, of one timer


class DAO:
    """Timers of the store."""

    create = "DAO.create"
    read = "DAO.read"
    update = "DAO.update"
    delete = "DAO.delete"
    create_all = "DAO.createAll"
    read_all = "DAO.readAll"
    read_page = "DAO.readPage"
    update_all = "DAO.updateAll"
    delete_all = "DAO.deleteAll"


class SEARCH:
    """Timers of search."""

    index = "Search.index"
    unindex = "Search.unindex"
    index_all = "Search.indexAll"
    unindex_all = "Search.unindexAll"
    rebuild = "Search.rebuildIndex"


class CACHE:
    """Timers of the cache."""

    contains = "Cache.contains"
    put = "Cache.put"
    get = "Cache.get"
    remove = "Cache.remove"
    put_all = "Cache.putAll"
    get_all = "Cache.getAll"
    remove_all = "Cache.removeAll"


FINDS: Final[Mapping[str, str]] = {
    "id": "findById",
    "ids": "findByIds",
    "nested": "findNestedQuery",
    "nearby": "findNearby",
    "prefix": "findPrefix",
    "similar": "findSimilar",
    "tagged": "findTagged",
    "tags": "findTags",
    "in": "findTermInList",
    "terms": "findTerms",
    "wildcard": "findWildcard",
    "count": "getCount",
    "default": "findQuery",
}
"""Query type -> the method that is timed as `Search.<method>`."""

_REST: Final = (
    *(f"crud.{name}" for name in ("read", "create", "overwrite", "update", "delete")),
    *(f"batch.{name}" for name in ("read", "create", "update", "delete")),
    *(f"links.{name}" for name in ("read", "create", "delete")),
    *(f"search.{name}" for name in FINDS if name != "tags"),
)
NAMES: Final[tuple[str, ...]] = (
    *(value for owner in (DAO, SEARCH, CACHE) for name, value in vars(owner).items() if not name.startswith("_")),
    *(f"Search.{name}" for name in FINDS.values()),
    *(f"RestUtils.{name}" for name in _REST),
)
"""The timers that every registry shows from its beginning."""


class Registry:
    """The timers and counters of one app, or of all."""

    def __init__(self, now: int) -> None:
        self.start = now
        self.timers: dict[str, Timer] = {}
        self.counters: dict[str, Counter] = {}

    def timer(self, name: str) -> Timer:
        """The timer of a name, made at its first use."""
        found = self.timers.get(name)
        if found is None:
            found = Timer(self.start)
            if len(self.timers) < _MOST_NAMES:
                self.timers[name] = found
        return found

    def values(self, now: int) -> Iterator[tuple[str, str, Mapping[str, float]]]:
        """("TIMER" or "COUNTER", name, attributes), by name."""
        none = Timer(self.start)
        for name in sorted({*NAMES, *self.timers}):
            yield "TIMER", name, self.timers.get(name, none).attributes(now)
        for name in sorted(self.counters):
            yield "COUNTER", name, {"count": self.counters[name].count}


class Metrics:
    """See the module's docstring. `timer` gives seconds, of any beginning. Off: everything costs a call and no more."""

    def __init__(self, clock: Clock, timer: Callable[[], float], *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.now = timer if enabled else _nothing
        """The start of a call, to be handed to `record`."""
        self._clock = clock
        self._timer = timer
        self.system = Registry(clock.now())
        self._apps: LRUCache[str, Registry | None] = LRUCache(MOST_APPS)
        self._pending: dict[tuple[str, str], list[float]] = {}  # seconds by (app, name)

    @classmethod
    def off(cls) -> "Metrics":
        """One that records nothing."""
        return cls(_NoClock(), _nothing, enabled=False)

    def record(self, app: str, name: str, start: float) -> None:
        """A call ended now that began at `start`."""
        if not self.enabled:
            return
        seconds = self._timer() - start
        key = (app, name)
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = [seconds]
            return
        pending.append(seconds)
        if len(pending) > _MOST_PENDING:
            self._work_off(key, self._pending.pop(key), self._clock.now())

    def begin(self, app: str) -> None:
        """An app was made: its metrics begin now."""
        if self.enabled:
            self.registry(app)

    def _work_off(self, key: tuple[str, str], values: list[float], now: int) -> None:
        app, name = key
        batch = batch_of(values)
        self.registry(app).timer(name).add(batch, now)
        self.system.timer(name).add(batch, now)

    def settle(self) -> None:
        """Work off what was recorded; call it every tick (5 s), and before values are read."""
        pending, self._pending = self._pending, {}
        now = self._clock.now()
        for key, values in pending.items():
            self._work_off(key, values, now)

    def registry(self, app: str) -> Registry:
        """The registry of an app, begun at zero if it is new; that of all for SYSTEM."""
        if app == SYSTEM:
            return self.system
        found = self._apps.get(app)
        if found is None:
            found = self._apps[app] = Registry(self._clock.now())
        return found

    def forget(self, app: str) -> None:
        """The app is gone."""
        self.settle()
        self._apps.pop(app, None)

    # --- for plug-ins

    def counter(self, app: str, owner: str, name: str) -> Counter:
        """The counter `<owner>.<name>` of an app. Of an owner with too many it is counted for nobody."""
        counters = self.registry(app).counters
        full = f"{owner}.{name}"
        found = counters.get(full)
        if found is None:
            found = Counter()
            if len(counters) < _MOST_NAMES:
                counters[full] = found
        return found

    @contextmanager
    def time(self, app: str, owner: str, *names: str) -> Generator[None]:
        """Times its block as `<owner>.<names...>`, also when it raises."""
        start = self.now()
        try:
            yield
        finally:
            self.record(app, ".".join((owner, *names)), start)


def _nothing() -> float:
    return 0.0


class _NoClock:
    def now(self) -> int:
        """Never."""
        return 0
