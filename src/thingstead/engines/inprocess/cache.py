"""The Cache port in this process: least recently used goes first (stack.md, row "cache").

Promises: see ports.cache. A removal is remembered in the place of its object and by the same bound, so it is forgotten
only after `size` other ids were used. Bytes count those of the objects, not Python's own.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from cachebox import LRUCache

from thingstead.ports.environment import Clock
from thingstead.ports.store import StoredObject

MOST_BYTES: Final = 128 * 1024 * 1024
_PROBE: Final = ("", "probe")  # no app has an empty name


class _Entry(NamedTuple):
    rev: int
    until: int  # microseconds UTC
    object: StoredObject | None  # None: removed as of `rev`
    size: int


class InProcessCache:
    """Implements ports.cache.Cache: at most `size` ids and `most_bytes`, each for `minutes` after it was set."""

    def __init__(self, clock: Clock, *, size: int, minutes: int, most_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._life = minutes * 60_000_000
        self._size = size
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: LRUCache[tuple[str, str], _Entry | None] = LRUCache(
            0
        )  # bounded here: evicted bytes must be counted

    async def get(self, app: str, id: str) -> StoredObject | None:
        """See the port."""
        entry = self._entries.get((app, id))
        if entry is None or entry.object is None:
            return None
        if entry.until <= self._clock.now():
            self._drop((app, id))
            return None
        return entry.object

    async def get_many(self, app: str, ids: Sequence[str]) -> Mapping[str, StoredObject]:
        """See the port."""
        entries, now = self._entries, self._clock.now()
        found: dict[str, StoredObject] = {}
        for id in ids:
            entry = entries.get((app, id))
            if entry is None or entry.object is None:
                continue
            if entry.until > now:
                found[id] = entry.object
            else:
                self._drop((app, id))
        return found

    async def put(self, objects: Sequence[StoredObject]) -> None:
        """See the port."""
        for each in objects:
            self._set((each.app, each.id), each.rev, each)

    async def remove(self, app: str, revs: Mapping[str, int]) -> None:
        """See the port."""
        for id, rev in revs.items():
            if rev:
                self._set((app, id), rev, None)
            else:
                self._drop((app, id))

    async def clear(self, app: str) -> None:
        """See the port."""
        for key in [key for key in self._entries if key[0] == app]:
            self._drop(key)

    async def probe(self) -> bool:
        """See the port."""
        copy = StoredObject(*_PROBE, "probe", 1, self._clock.now(), b"{}", None)
        await self.put([copy])
        found = await self.get(*_PROBE)
        self._drop(_PROBE)
        return found == copy

    async def close(self) -> None:
        """See the port."""
        self._entries.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def _set(self, key: tuple[str, str], rev: int, object: StoredObject | None) -> None:
        before = self._entries.get(key)
        # An expired copy still says which revs are old. A removal counts above the copy of the same rev.
        if before is not None and (rev < before.rev or (rev == before.rev and before.object is None)):
            return
        size = 0 if object is None else len(object.public) + len(object.private or b"")
        if size > self._most_bytes:
            object, size = None, 0
        self._bytes += size - (0 if before is None else before.size)
        self._entries[key] = _Entry(rev, self._clock.now() + self._life, object, size)
        while len(self._entries) > self._size or self._bytes > self._most_bytes:
            _, gone = self._entries.popitem()
            self._bytes -= gone.size if gone is not None else 0

    def _drop(self, key: tuple[str, str]) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None:
            self._bytes -= gone.size
