"""MQTT sessions and retained messages, kept as items of the store (ports/sessions)."""

from collections.abc import Sequence

from thingstead.ports.sessions import Change, Space
from thingstead.ports.store import Batch, Item, Store


class StoredSessions:
    """Implements ports.sessions.SessionStore."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, space: Space) -> Sequence[tuple[str, bytes]]:
        """See the port."""
        return list((await self._store.items.scan(space.value)).items())

    async def apply(self, changes: Sequence[Change]) -> None:
        """See the port."""
        await self._store.commit(Batch(items=[Item(c.space.value, c.key, c.value) for c in changes], together=True))
