"""What the search follower reads to catch up: current objects by id, or all of them (core.search, `recover`)."""

from collections.abc import AsyncIterator, Sequence

from thingstead.core.shapes import document_of, object_of
from thingstead.model import objects as model
from thingstead.model.audit import trail_of
from thingstead.model.ids import APP_PREFIX
from thingstead.ports.environment import Ids
from thingstead.ports.index import Document
from thingstead.ports.store import Store, StoredObject

_PAGE = 1000


class Catalogue:
    """Reads of a store, in the index's form."""

    def __init__(self, store: Store, root: str, ids: Ids) -> None:
        self._ids = ids
        self._store = store
        self._root = root  # the tenant that holds the app objects

    async def current(self, app: str, ids: Sequence[str]) -> Sequence[Document]:
        """The index's form of those that exist and are to be found."""
        return _documents(await self._store.objects.get_many(app, ids))

    def unstored(self, app: str, public: bytes) -> Document | None:
        """The index's form of an object that is not stored, which comes after all that are there."""
        document = document_of(model.decode(app, public, docid=self._ids.next()), 0)
        return document if isinstance(document, Document) else None

    async def everything(self) -> AsyncIterator[Sequence[Document]]:
        """All objects of all apps that are to be found, a page at a time."""
        apps = [self._root]
        async for rows in self._pages(self._root, "app"):
            apps += [name for row in rows if (name := row.id.removeprefix(APP_PREFIX)) != self._root]
        for app in apps:
            for tenant in (app, trail_of(app)):
                async for rows in self._pages(tenant, None):
                    yield _documents(rows)

    async def _pages(self, app: str, type: str | None) -> AsyncIterator[list[StoredObject]]:
        after = 0
        while rows := await self._store.objects.scan(app, type=type, after=after, limit=_PAGE):
            yield rows
            after = rows[-1].docid


def _documents(rows: Sequence[StoredObject]) -> list[Document]:
    found = (document_of(object_of(row), 0) for row in rows)
    return [document for document in found if isinstance(document, Document)]
