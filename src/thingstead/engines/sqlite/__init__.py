"""Store on SQLite (apsw): store.db and series.db."""

from thingstead.engines.sqlite.journal import Caps
from thingstead.engines.sqlite.store import Options, SqliteStore
from thingstead.ports.engine import Engine, Place

__all__ = ["Caps", "Options", "SqliteStore", "engine"]


async def _open(place: Place) -> SqliteStore:
    return SqliteStore.open(place.directory, clock=place.clock, entropy=place.entropy)


engine = Engine("dao", _open)
