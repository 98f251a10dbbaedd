"""Store on SQLite (apsw): store.db and series.db."""

from thingstead.engines.sqlite.journal import Caps
from thingstead.engines.sqlite.store import Options, SqliteStore

__all__ = ["Caps", "Options", "SqliteStore"]
