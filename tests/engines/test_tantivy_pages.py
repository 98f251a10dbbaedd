"""Pages by number are those of the whole order, whichever were asked before, equal times and commits between them."""

import random
from pathlib import Path

import pytest

from support.aio import run
from thingstead.conformance.index import document
from thingstead.engines.tantivy.index import TantivyIndex
from thingstead.model.query import ast
from thingstead.model.query.sort import SortBy
from thingstead.ports.index import SearchRequest

LIMIT = 7


@pytest.mark.parametrize("spread", [1, 6, 1_000])
def test_pages_in_any_order_are_those_of_the_whole(tmp_path: Path, spread: int) -> None:
    chance = random.Random(spread)

    async def work() -> None:
        index = await TantivyIndex.open(tmp_path / "index", "store-1")
        times: dict[int, int] = {}
        try:
            for start in (1, 201):
                new = {n: 1_000 + chance.randrange(spread) for n in range(start, start + 200)}
                index.enqueue([document(n, timestamp=time) for n, time in new.items()])
                await index.commit()
                times |= new
                for desc in (False, True):
                    whole = sorted(times, key=lambda n: (-times[n] if desc else times[n], n))
                    pages = list(range(len(whole) // LIMIT + 2))
                    for number in [*pages, *chance.sample(pages, len(pages)), *reversed(pages)]:
                        request = SearchRequest(
                            "app", ast.ALL, sort=(SortBy("timestamp", desc),), offset=number * LIMIT, limit=LIMIT
                        )
                        found = await index.snapshot().search(request)
                        expected = whole[number * LIMIT : (number + 1) * LIMIT]
                        assert [hit.id for hit in found.hits] == [f"o{n}" for n in expected], (desc, number)
                        assert found.total == len(whole)
        finally:
            await index.close()

    run(work(), 60)
