"""The index on Tantivy as the composition opens it; a module of its own, which the indexer's process does not load."""

from thingstead.engines.tantivy.index import TantivyIndex
from thingstead.ports.engine import Engine, Place

FOLDER = "index"


async def _open(place: Place) -> TantivyIndex:
    return await TantivyIndex.open(place.directory / FOLDER, place.store)


engine = Engine("search", _open)
