"""The two files of the embedded store: tables, and connections with pragmas that are read back (design.md 6).

Promises: a new file gets its tables in one transaction; a file of a newer schema is refused with NotSupported, a
`series.db` that belongs to another `store.db` with NotSupported; every connection has the pragmas it asked for.
A file of an older schema is brought to this one, in one transaction, when it is opened.
"""

import uuid as uuid_format
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import apsw

from thingstead.model.errors import NotSupported, StoreFailed
from thingstead.ports.environment import Entropy

Rows: TypeAlias = list[tuple[Any, ...]]


class Cursor(Protocol):
    """What is used of an apsw.Cursor, with rows typed by the statement instead of by apsw."""

    def execute(self, sql: str, bindings: Sequence[Any] = ..., /) -> "Cursor":
        """Run one statement."""
        ...

    def executemany(self, sql: str, bindings: Iterable[Sequence[Any]], /) -> object:
        """Run one statement for each row of bindings."""
        ...

    def fetchall(self) -> Rows:
        """The rest of the rows; ends the statement and with it its snapshot."""
        ...


def cursor_of(connection: apsw.Connection) -> Cursor:
    """A new cursor."""
    return cast(Cursor, connection.cursor())


def query(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> Rows:
    """All rows of one statement."""
    return cursor_of(connection).execute(sql, bindings).fetchall()


STORE_FILE = "store.db"
SERIES_FILE = "series.db"

# Blobs stand last in a row, so that reading the other columns never walks overflow pages.
_STORE_TABLES = """
CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE objects(
    row INTEGER PRIMARY KEY, app TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, docid INTEGER NOT NULL,
    rev INTEGER NOT NULL, parent TEXT, public BLOB NOT NULL, private BLOB
) STRICT;
CREATE UNIQUE INDEX objects_id ON objects(app, id);
CREATE INDEX objects_docid ON objects(app, docid);
CREATE INDEX objects_type ON objects(app, type, docid);
CREATE INDEX objects_parent ON objects(app, parent, docid) WHERE parent IS NOT NULL;

CREATE TABLE keys(
    app TEXT NOT NULL, scope TEXT NOT NULL, text TEXT NOT NULL, object INTEGER NOT NULL,
    PRIMARY KEY(app, scope, text)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_object ON keys(object);

CREATE TABLE journal(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, op TEXT NOT NULL, app TEXT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, public BLOB
) STRICT;

CREATE TABLE cursors(
    log TEXT NOT NULL, follower TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(log, follower)
) STRICT, WITHOUT ROWID;

CREATE TABLE shadows(
    position INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL, thing TEXT NOT NULL, rev INTEGER NOT NULL,
    updated INTEGER NOT NULL, entity_id TEXT, entity_type TEXT, entity_path TEXT NOT NULL, document BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX shadows_thing ON shadows(app, thing);
CREATE INDEX shadows_listed ON shadows(app) WHERE entity_id IS NOT NULL;
CREATE INDEX shadows_entity ON shadows(app, entity_id) WHERE entity_id IS NOT NULL;
CREATE INDEX shadows_entity_type ON shadows(app, entity_type) WHERE entity_id IS NOT NULL;

CREATE TABLE head(
    seq INTEGER PRIMARY KEY, series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL, text TEXT
) STRICT;

CREATE TABLE items(
    space TEXT NOT NULL, key TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY(space, key)
) STRICT, WITHOUT ROWID;
"""
_QUEUE_TABLES = """
CREATE TABLE queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, lane TEXT NOT NULL, due INTEGER NOT NULL,
    pushed INTEGER NOT NULL, attempts INTEGER NOT NULL, dead INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX queue_lane ON queue(name, lane) WHERE dead = 0;
CREATE INDEX queue_loose ON queue(name, due) WHERE dead = 0 AND lane = '';
CREATE INDEX queue_dead ON queue(name) WHERE dead = 1;
"""
_STORE_STEPS = (_STORE_TABLES, _QUEUE_TABLES)  # from each schema (PRAGMA user_version) to the next

# hourly: total counts every reading, count/min/max/sum only the numeric ones; hour = floor(time / 3600 s).
_SERIES_TABLES = """
CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE main(
    series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL, text TEXT, PRIMARY KEY(series, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE latest(series INTEGER PRIMARY KEY, time INTEGER NOT NULL, value REAL, text TEXT) STRICT;

CREATE TABLE hourly(
    series INTEGER NOT NULL, hour INTEGER NOT NULL, total INTEGER NOT NULL, count INTEGER NOT NULL,
    min REAL, max REAL, sum REAL, PRIMARY KEY(series, hour)
) STRICT, WITHOUT ROWID;
"""

WRITER_PRAGMAS: Mapping[str, str | int] = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: the WAL is synced before a commit is acknowledged
    "wal_autocheckpoint": 0,  # checkpoints have their own thread
    "foreign_keys": 0,
    "temp_store": 2,
    "cache_size": -16000,
    "busy_timeout": 5000,
}
READER_PRAGMAS: Mapping[str, str | int] = {
    "query_only": 1,
    "temp_store": 2,
    "cache_size": -16000,
    "busy_timeout": 5000,
}


def set_pragmas(connection: apsw.Connection, pragmas: Mapping[str, str | int]) -> None:
    """Set each pragma in a call of its own and read it back. Raises StoreFailed naming the one that did not hold."""
    for name, wanted in pragmas.items():
        query(connection, f"PRAGMA {name}={wanted}")
        held = query(connection, f"PRAGMA {name}")
        if held != [(wanted,)]:
            raise StoreFailed(f"PRAGMA {name}={wanted} did not hold in {connection.filename}: {held}")


def open_writer(path: Path, vfs: str | None) -> apsw.Connection:
    """A read-write connection; the file is made with 4 KB pages if it is new."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(path.absolute().as_uri(), flags=flags, vfs=vfs, statementcachesize=200)
    query(connection, "PRAGMA page_size=4096")
    set_pragmas(connection, WRITER_PRAGMAS)
    return connection


def open_reader(path: Path, vfs: str | None) -> apsw.Connection:
    """A read-only connection to a file that a writer has already opened."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(path.absolute().as_uri(), flags=flags, vfs=vfs, statementcachesize=200)
    set_pragmas(connection, READER_PRAGMAS)
    return connection


def attach_read_only(connection: apsw.Connection, path: Path, name: str) -> None:
    """Attach `path` under `name` so that this connection can never write it."""
    query(connection, f"ATTACH ? AS {name}", (path.absolute().as_uri() + "?mode=ro",))


def read_meta(connection: apsw.Connection, name: str) -> Any:
    """A value of the `meta` table, or None."""
    rows = query(connection, "SELECT value FROM main.meta WHERE name = ?", (name,))
    return rows[0][0] if rows else None


def _prepare(connection: apsw.Connection, steps: Sequence[str], meta: Mapping[str, str | int]) -> None:
    """Make the tables of a new file, add to an older one, refuse a newer one."""
    version: int = query(connection, "PRAGMA user_version")[0][0]
    schema = len(steps)
    if version > schema:
        raise NotSupported(
            f"{connection.filename} has schema {version}, this release knows schemas up to {schema}: "
            "use the release that wrote it, or a newer one"
        )
    if version == schema:
        return
    with connection:
        for tables in steps[version:]:
            for statement in tables.split(";"):
                if statement.strip():
                    query(connection, statement)
        if version == 0:
            cursor_of(connection).executemany("INSERT INTO main.meta VALUES(?, ?)", list(meta.items()))
        query(connection, f"PRAGMA user_version={schema}")


def prepare_store(connection: apsw.Connection, entropy: Entropy) -> str:
    """Make or check `store.db`; returns its uuid."""
    fresh = str(uuid_format.UUID(bytes=entropy.token(16), version=4))
    _prepare(connection, _STORE_STEPS, {"uuid": fresh, "head_high": 0, "scrub": 0})
    return str(read_meta(connection, "uuid"))


def prepare_series(connection: apsw.Connection, uuid: str) -> None:
    """Make or check `series.db`, which must belong to the store `uuid`."""
    _prepare(connection, (_SERIES_TABLES,), {"uuid": uuid, "mark": 0})
    held = str(read_meta(connection, "uuid"))
    if held != uuid:
        raise NotSupported(
            f"{connection.filename} belongs to store {held}, not to {uuid}: restore the two files together"
        )
