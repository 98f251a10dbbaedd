"""Index on Tantivy (ports.index)."""

from thingstead.engines.tantivy.index import TantivyIndex

__all__ = ["TantivyIndex"]
