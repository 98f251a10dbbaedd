"""Objects and their unique keys: how a change is checked and written, and the reads (ports.store.ObjectReads).

Promises: a refused change has written nothing; a row's keys go with the row. It does not look into the bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from thingstead.engines.sqlite.reader import SHORT, Pair, Reader
from thingstead.engines.sqlite.schema import Cursor, Rows
from thingstead.engines.sqlite.transaction import STALE, Transaction
from thingstead.model.errors import InvalidInput
from thingstead.ports.store import Changed, Key, Put, Refused, Remove, StoredObject

_FIND = "SELECT row, rev, docid, type, parent FROM objects WHERE app = ? AND id = ?"
_INSERT = "INSERT INTO objects(app, id, type, docid, rev, parent, public, private) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
_ROW = "SELECT last_insert_rowid()"
_REWRITE = "UPDATE objects SET rev = ?, public = ?, private = ? WHERE row = ?"
_MOVE = "UPDATE objects SET rev = ?, public = ?, private = ?, type = ?, parent = ? WHERE row = ?"
_DELETE = "DELETE FROM objects WHERE row = ?"

_KEY_HOLDER = "SELECT object FROM keys WHERE app = ? AND scope = ? AND text = ?"
_KEYS_OF = "SELECT scope, text, app FROM keys WHERE object = ?"
_KEY_INSERT = "INSERT INTO keys(scope, text, app, object) VALUES(?, ?, ?, ?)"
_KEY_DELETE = "DELETE FROM keys WHERE scope = ? AND text = ? AND app = ?"
_ID_OF = "SELECT id FROM objects WHERE row = ?"


def put(tx: Transaction, change: Put) -> Changed | Refused:
    """Check and write one Put (ports.store.Put)."""
    cursor = tx.cursor
    app, id = change.app, change.id
    if change.fresh and not change.expect and not change.keys and change.stored and (seq := _inserted(tx, change)):
        return Changed(seq, seq, change.docid, True)
    found = cursor.execute(_FIND, (app, id)).fetchall()
    row, rev, docid, type_, parent = found[0] if found else (0, 0, change.docid, None, None)
    if change.expect is not None and change.expect != rev:
        return STALE
    if not change.stored:
        return Changed(rev, tx.line("put", app, id, change.type, change.public), docid, False)
    if change.keys and (taken := _taken(cursor, change, row)):
        return taken
    seq = tx.line("put", app, id, change.type)
    rev = rev + 1 if found else seq  # a new row begins above every rev that its id ever had
    if not found:
        cursor.execute(_INSERT, (app, id, change.type, docid, rev, change.parent, change.public, change.private))
        row = cursor.execute(_ROW).fetchall()[0][0] if change.keys else 0
    elif type_ == change.type and parent == change.parent:
        cursor.execute(_REWRITE, (rev, change.public, change.private, row))
    else:
        cursor.execute(_MOVE, (rev, change.public, change.private, change.type, change.parent, row))
    if change.keys is not None and (found or change.keys):
        _set_keys(cursor, row, change.keys)
    return Changed(rev, seq, docid, not found)


def _inserted(tx: Transaction, change: Put) -> int:
    """The journal line of a new row; 0 if one is there after all."""
    seq = tx.seq + 1
    try:
        tx.cursor.execute(
            _INSERT,
            (change.app, change.id, change.type, change.docid, seq, change.parent, change.public, change.private),
        )
    except apsw.ConstraintError:
        return 0
    return tx.line("put", change.app, change.id, change.type)


def remove(tx: Transaction, change: Remove) -> Changed | Refused:
    """Check and write one Remove (ports.store.Remove)."""
    cursor = tx.cursor
    found = cursor.execute(_FIND, (change.app, change.id)).fetchall()
    rev = found[0][1] if found else 0
    if change.expect is not None and change.expect != rev:
        return STALE
    if not found:
        return Changed(0, tx.line("delete", change.app, change.id, "") if change.line else 0, 0, False)
    row, _, docid, type_, _ = found[0]
    _set_keys(cursor, row, ())
    cursor.execute(_DELETE, (row,))
    return Changed(rev + 1, tx.line("delete", change.app, change.id, type_), docid, False)


def desired(tx: Transaction, app: str, thing: str) -> None:
    """The journal line of a thing whose desired state changed."""
    found = tx.cursor.execute(_FIND, (app, thing)).fetchall()
    tx.line("desired", app, thing, found[0][3] if found else "")


def _taken(cursor: Cursor, change: Put, row: Any) -> Refused | None:
    for key in change.keys or ():
        if key.app not in ("", change.app):
            raise InvalidInput(f"a key of app {key.app} cannot name an object of app {change.app}", field=key.scope)
        holder = cursor.execute(_KEY_HOLDER, (key.app, key.scope, key.text)).fetchall()
        if holder and holder[0][0] != row:
            return Refused("key_taken", key, cursor.execute(_ID_OF, holder[0]).fetchall()[0][0])
    return None


def _set_keys(cursor: Cursor, row: Any, keys: Sequence[Key]) -> None:
    held = set(cursor.execute(_KEYS_OF, (row,)).fetchall())
    wanted = set(keys)
    for key in held - wanted:
        cursor.execute(_KEY_DELETE, key)
    for key in wanted - held:
        cursor.execute(_KEY_INSERT, (*key, row))


_COLUMNS = "app, id, type, docid, rev, public, private"
_GET = f"SELECT {_COLUMNS} FROM objects WHERE app = ? AND id = ?"
_GET_MANY = f"SELECT {_COLUMNS} FROM objects WHERE app = ? AND id IN carray(?)"
_PUBLICS = "SELECT id, public FROM objects WHERE app = ? AND id IN carray(?)"
_HOLDER = (
    "SELECT o.app, o.id, o.type, o.docid, o.rev, o.public, o.private FROM keys k JOIN objects o ON o.row = k.object "
    "WHERE k.app = ? AND k.scope = ? AND k.text = ?"
)


def _narrowed(type: str | None, parent: str | None) -> tuple[str, tuple[str, ...]]:
    """The WHERE clause of scan and count, and the bindings after the app."""
    if parent is not None and type is not None:
        return "app = ? AND parent = ? AND +type = ?", (parent, type)  # unary plus: keep the parent's index
    if parent is not None:
        return "app = ? AND parent = ?", (parent,)
    if type is not None:
        return "app = ? AND type = ?", (type,)
    return "app = ?", ()


class Objects:
    """Implements ports.store.ObjectReads."""

    def __init__(self, reader: Reader):
        self._reader = reader
        self._pair = reader.pair

    async def get(self, app: str, id: str) -> StoredObject | None:
        """See the port."""
        rows = self._pair.store(_GET, (app, id))
        return StoredObject(*rows[0]) if rows else None

    async def get_many(self, app: str, ids: Sequence[str]) -> list[StoredObject]:
        """See the port."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return []
        if len(wanted) <= SHORT:
            return self._many(self._pair, app, wanted)
        return await self._reader.offload(lambda pair: self._many(pair, app, wanted))

    def _many(self, pair: Pair, app: str, ids: Sequence[str]) -> list[StoredObject]:
        try:
            found = {row[1]: row for row in pair.store(_GET_MANY, (app, apsw.carray(tuple(ids))))}
        except ValueError:  # a NUL or a lone surrogate among them, which an array cannot hold
            found = {row[1]: row for id in ids for row in pair.store(_GET, (app, id))}
        return [StoredObject(*found[id]) for id in ids if id in found]

    async def publics(self, app: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """See the port."""
        if not 0 < len(ids) <= SHORT:
            return {row.id: row.public for row in await self.get_many(app, ids)}
        try:
            return dict(self._pair.store(_PUBLICS, (app, apsw.carray(tuple(ids)))))
        except ValueError:  # as in `_many`
            return {row.id: row.public for row in self._many(self._pair, app, ids)}

    async def find(self, key: Key) -> StoredObject | None:
        """See the port."""
        rows = self._pair.store(_HOLDER, (key.app, key.scope, key.text))
        return StoredObject(*rows[0]) if rows else None

    async def find_many(self, keys: Sequence[Key]) -> Mapping[Key, StoredObject]:
        """See the port."""
        found: dict[Key, StoredObject] = {}
        for key in keys:
            for row in self._pair.store(_HOLDER, (key.app, key.scope, key.text)):
                found[key] = StoredObject(*row)
        return found

    async def scan(
        self, app: str, *, type: str | None = None, parent: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[StoredObject]:
        """See the port."""
        where, bindings = _narrowed(type, parent)
        sql = f"SELECT {_COLUMNS} FROM objects WHERE {where} AND docid > ? ORDER BY docid LIMIT ?"

        def read(pair: Pair) -> Rows:
            return pair.store(sql, (app, *bindings, after, limit))

        rows = read(self._pair) if limit <= SHORT else await self._reader.offload(read)
        return [StoredObject(*row) for row in rows]

    async def count(self, app: str, *, type: str | None = None, parent: str | None = None) -> int:
        """See the port."""
        where, bindings = _narrowed(type, parent)
        few = f"SELECT count(*) FROM (SELECT 1 FROM objects WHERE {where} LIMIT {SHORT + 1})"
        counted: int = self._pair.store(few, (app, *bindings))[0][0]
        if counted <= SHORT:
            return counted
        every = f"SELECT count(*) FROM objects WHERE {where}"
        rows = await self._reader.offload(lambda pair: pair.store(every, (app, *bindings)))
        return rows[0][0]
