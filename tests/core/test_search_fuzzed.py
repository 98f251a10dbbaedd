"""Whatever a search is asked for, the index and the pending writes answer it, or it is an InvalidQuery: no plan that
the model lets through is too much for the engine, nor takes long."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from support.backend import open_built, owner
from support.hostile import HOSTILE, searches
from thingstead.core.objects import Draft
from thingstead.core.search import Page
from thingstead.model.errors import InvalidQuery
from thingstead.model.query.build import plan
from thingstead.server.compose import Built

SECONDS = 30.0


@pytest.fixture(scope="module")
def searched() -> Iterator[tuple[asyncio.Runner, Built]]:
    """A backend with objects that the index holds and one that is pending."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        opened = open_built(Path(folder))
        built = runner.run(opened.__aenter__())

        async def fill() -> None:
            for n in range(20):
                body = {"id": f"c{n}", "name": "Ann Smith"[: n + 1], "tags": ["one"], "a": n, "text": "hot roof " * n}
                await built.backend.objects.create("para", Draft(type="cat", body=body, posted=True), owner("para"))  # type: ignore[arg-type]

        runner.run(fill())
        yield runner, built
        runner.run(opened.__aexit__(None, None, None))


def ask(searched: tuple[asyncio.Runner, Built], kind: str, params: dict[str, list[str]]) -> None:
    runner, built = searched
    start = time.monotonic()
    with suppress(InvalidQuery):
        found = runner.run(built.backend.search.find("para", plan(kind, None, params)))
        assert isinstance(found, Page)
        assert len(found.items) <= 256 or kind == "ids"
    assert time.monotonic() - start < SECONDS, (kind, params)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(searches())
def test_any_search_is_answered_or_refused(
    searched: tuple[asyncio.Runner, Built], search: tuple[str, dict[str, list[str]]]
) -> None:
    ask(searched, *search)


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:12]!r}+{len(text)}")
def test_a_search_that_is_made_to_take_long_does_not(searched: tuple[asyncio.Runner, Built], text: str) -> None:
    ask(searched, "", {"q": [text]})
    ask(searched, "", {"q": [f"name:({text})"], "sort": [text]})
    for kind, name in (("wildcard", "q"), ("prefix", "prefix"), ("nested", "q"), ("similar", "like")):
        ask(searched, kind, {"field": ["name"], "fields": ["name", "text"], name: [text]})
    values = [text, f"name:{text}"]
    for kind in ("terms", "in", "tagged", "ids"):
        ask(searched, kind, {"field": ["name"], "terms": values, "tags": values, "ids": values})
