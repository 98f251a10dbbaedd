"""Items: small named documents (ports.store.ItemReads). It does not look into them."""

from collections.abc import Mapping

from thingstead.engines.sqlite.reader import Reader
from thingstead.engines.sqlite.transaction import Transaction
from thingstead.ports.store import Item

_PUT = "INSERT INTO items(space, key, data) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data"
_DELETE = "DELETE FROM items WHERE space = ? AND key = ?"


def put(tx: Transaction, item: Item) -> None:
    """Write one Item."""
    if item.data is None:
        tx.cursor.execute(_DELETE, (item.space, item.key))
    else:
        tx.cursor.execute(_PUT, (item.space, item.key, item.data))


class Items:
    """Implements ports.store.ItemReads."""

    def __init__(self, reader: Reader):
        self._pair = reader.pair

    async def get(self, space: str, key: str) -> bytes | None:
        """See the port."""
        rows = self._pair.store("SELECT data FROM items WHERE space = ? AND key = ?", (space, key))
        return rows[0][0] if rows else None

    async def scan(self, space: str) -> Mapping[str, bytes]:
        """See the port."""
        return dict(self._pair.store("SELECT key, data FROM items WHERE space = ?", (space,)))
