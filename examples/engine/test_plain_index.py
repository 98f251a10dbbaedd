"""PlainIndex keeps the promises of its port: `THINGSTEAD_INDEX_EXAMPLES=50 pytest test_plain_index.py`."""

from thingstead.conformance.index import IndexSuite


class TestPlainIndex(IndexSuite):
    factory = "plain_index:PlainIndex.open"
