"""The index where searching is switched off (`para.search_enabled`): it keeps nothing and finds nothing.

Promises: every change counts as committed at once, so that the journal is not kept for it; an index that is opened
after it, over the same store, sees that it has missed them.
"""

from collections.abc import Mapping, Sequence

from thingstead.model.values import JsonObject
from thingstead.ports.index import Change, Hits, SearchRequest


class NoIndex:
    """Implements ports.index.Index and its Snapshot, but for finding anything. `last` is the journal's last line."""

    def __init__(self, last: int) -> None:
        self.seq = last
        """See ports.index.Snapshot."""

    async def position(self) -> int:
        """See the port."""
        return self.seq

    def enqueue(self, changes: Sequence[Change]) -> None:
        """See the port."""
        self.seq = max(self.seq, *(change.seq for change in changes), 0)

    async def room(self) -> None:
        """See the port."""

    async def commit(self, seq: int = 0) -> int:
        """See the port."""
        self.seq = max(self.seq, seq)
        return self.seq

    def snapshot(self) -> "NoIndex":
        """See the port."""
        return self

    async def clear(self) -> None:
        """See the port."""

    async def drop_app(self, app: str) -> None:
        """See the port."""

    async def close(self) -> None:
        """See the port."""

    async def search(self, request: SearchRequest) -> Hits:
        """See ports.index.Snapshot."""
        return Hits(0, ())

    async def kept(self, app: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        """See ports.index.Snapshot."""
        return {}
