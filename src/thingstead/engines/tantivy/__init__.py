"""Index on Tantivy (ports.index)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thingstead.engines.tantivy.index import TantivyIndex

__all__ = ["TantivyIndex"]


def __getattr__(name: str) -> object:
    if name == "TantivyIndex":  # at first use, since the indexer's process needs only some modules of this package
        from thingstead.engines.tantivy.index import TantivyIndex

        return TantivyIndex
    raise AttributeError(name)
