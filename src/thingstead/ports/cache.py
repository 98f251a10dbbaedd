"""Cache: copies of objects, to answer reads without the store (design.md 5; objects.md 4, 20). It decides nothing.

Promises every engine keeps, tested by `conformance/cache.py`:

* **Newer wins**: an object is set only if its `rev` is above that of what is there, or was removed there. Revs of one
  id only grow, also over its deletion, so writers and readers may arrive in any order and the newest stays.
* **Removed is removed**: after `remove` with a rev, a copy of that rev or an older one is not accepted any more.
  Engines may forget this once as many other ids were touched since as they can hold; who reads a store and sets what
  it read makes sure that it has not waited so long.
* **Bounded**: in number, bytes and age. Anything may be gone at any time.
* Tenants never meet: (app, id) is the name of a copy.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from thingstead.ports.store import StoredObject


class Cache(Protocol):
    """See the module's docstring. Methods raise Unavailable if the engine cannot be reached."""

    async def get(self, app: str, id: str) -> StoredObject | None:
        """The newest copy, None if there is none."""
        ...

    async def get_many(self, app: str, ids: Sequence[str]) -> Mapping[str, StoredObject]:
        """The copies that are there, by id."""
        ...

    async def put(self, objects: Sequence[StoredObject]) -> None:
        """Set each if newer. One larger than the engine takes is not kept, and what it replaces goes."""
        ...

    async def remove(self, app: str, revs: Mapping[str, int]) -> None:
        """Remove ids as of a rev; newer copies stay. Rev 0: whatever is there goes, and anything may come again."""
        ...

    async def clear(self, app: str) -> None:
        """Remove all copies of an app."""
        ...

    async def probe(self) -> bool:
        """True if a copy can be set and read back; leaves nothing behind."""
        ...

    async def close(self) -> None:
        """Release everything. May be called again."""
        ...
