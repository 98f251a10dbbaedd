"""Shadow rows: how one is checked and written, and the reads (ports.store.ShadowReads).

Promises: a refused row has written nothing; positions are never reused. It does not look into the documents.
"""

from collections.abc import Mapping, Sequence

from thingstead.engines.sqlite.reader import SHORT, Reader
from thingstead.engines.sqlite.transaction import STALE, Transaction
from thingstead.ports.store import Changed, Refused, ShadowPut, StoredShadow

# The steady report: nothing but the document changes, so one statement and no index is touched.
_STEADY = (
    "UPDATE shadows SET rev = rev + 1, updated = ?, document = ? WHERE app = ? AND thing = ? AND rev = ? "
    "AND entity_id IS ? AND entity_type IS ? AND entity_path = ? RETURNING position"
)
_FIND = "SELECT position, rev FROM shadows WHERE app = ? AND thing = ?"
_INSERT = (
    "INSERT INTO shadows(app, thing, rev, updated, entity_id, entity_type, entity_path, document) "
    "VALUES(?, ?, 1, ?, ?, ?, ?, ?) RETURNING position"
)
_REWRITE = (
    "UPDATE shadows SET rev = ?, updated = ?, entity_id = ?, entity_type = ?, entity_path = ?, document = ? "
    "WHERE position = ?"
)
_DELETE = "DELETE FROM shadows WHERE position = ?"


def put(tx: Transaction, shadow: ShadowPut) -> Changed | Refused:
    """Check and write one ShadowPut. `Changed.docid` is the shadow's position, `Changed.seq` 0: no journal line."""
    cursor = tx.cursor
    app, thing, expect, document = shadow.app, shadow.thing, shadow.expect, shadow.document
    entity = (shadow.entity_id, shadow.entity_type, shadow.entity_path)
    if expect and document is not None:
        steady = cursor.execute(_STEADY, (shadow.updated, document, app, thing, expect, *entity)).fetchall()
        if steady:
            return Changed(expect + 1, 0, steady[0][0], False)
    found = cursor.execute(_FIND, (app, thing)).fetchall()
    position, rev = found[0] if found else (0, 0)
    if expect is not None and expect != rev:
        return STALE
    if document is None:
        if not found:
            return Changed(0, 0, 0, False)
        cursor.execute(_DELETE, (position,))
        return Changed(rev + 1, 0, position, False)
    if found:
        cursor.execute(_REWRITE, (rev + 1, shadow.updated, *entity, document, position))
        return Changed(rev + 1, 0, position, False)
    inserted = cursor.execute(_INSERT, (app, thing, shadow.updated, *entity, document)).fetchall()
    return Changed(1, 0, inserted[0][0], True)


_COLUMNS = "app, thing, rev, document, updated, position"
_GET = f"SELECT {_COLUMNS} FROM shadows WHERE app = ? AND thing = ?"


class Shadows:
    """Implements ports.store.ShadowReads."""

    def __init__(self, reader: Reader):
        self._reader = reader
        self._pair = reader.pair

    async def get_many(self, app: str, things: Sequence[str]) -> Mapping[str, StoredShadow]:
        """See the port."""
        found: dict[str, StoredShadow] = {}
        for thing in things:
            for row in self._pair.store(_GET, (app, thing)):
                found[thing] = StoredShadow(*row)
        return found

    async def entities(
        self, app: str, *, id: str | None = None, type: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[StoredShadow]:
        """See the port."""
        where, bindings = "app = ? AND entity_id IS NOT NULL AND position > ?", [app, after]
        if id is not None:
            where, bindings = f"{where} AND entity_id = ?", [*bindings, id]
        if type is not None:  # unary plus: with an id, keep the id's index
            where, bindings = f"{where} AND {'' if id is None else '+'}entity_type = ?", [*bindings, type]
        sql = f"SELECT {_COLUMNS} FROM shadows WHERE {where} ORDER BY position LIMIT ?"
        if limit <= SHORT:
            rows = self._pair.store(sql, (*bindings, limit))
        else:
            rows = await self._reader.offload(lambda pair: pair.store(sql, (*bindings, limit)))
        return [StoredShadow(*row) for row in rows]
