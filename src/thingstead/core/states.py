"""Query terms over `deviceState`, which the index does not hold: joined when the query runs (doors.md 3).

Promises: a term `deviceState.x` matches the things whose state, as `/v1` shows it, matches; a report that was answered
before the search began counts. Costs time in proportion to the app's things, in slices that let others run; whoever
searches objects only pays a look at the query.
"""

import asyncio
from typing import Final

from thingstead.model import shadow as rules
from thingstead.model.query import ast
from thingstead.model.query.predicate import Subject, compile_query
from thingstead.ports.store import Store

_PREFIX: Final = "deviceState."
_STATE: Final = "state"  # in place of `deviceState`, which is never flattened
_SLICE: Final = 100  # things


class States:
    """See the module's docstring."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def join(self, app: str, query: ast.Query) -> ast.Query:
        """The query with every term over `deviceState` replaced by the ids that it matches now. Raises StoreFailed."""
        terms = [leaf for leaf in ast.walk(query) if _is_state(leaf)]
        if not terms:
            return query
        found = await self._matching(app, list(dict.fromkeys(terms)))
        return ast.mapped(query, lambda leaf: found.get(leaf, leaf))

    async def _matching(self, app: str, terms: list[ast.Query]) -> dict[ast.Query, ast.Query]:
        tests = [compile_query(ast.renamed(term, _renamed)) for term in terms]
        ids: list[list[str]] = [[] for _ in terms]
        after = 0
        while things := await self._store.objects.scan(app, type="thing", after=after, limit=_SLICE):
            after = things[-1].docid
            rows = await self._store.shadows.get_many(app, [thing.id for thing in things])
            for thing, row in rows.items():
                subject = Subject({_STATE: rules.device_state(rules.decode(row.document))})
                for matching, test in zip(ids, tests, strict=True):
                    if test(subject):
                        matching.append(thing)
            await asyncio.sleep(0)
        return {
            term: ast.Equals("id", tuple(matching)) if matching else ast.NOTHING
            for term, matching in zip(terms, ids, strict=True)
        }


def _is_state(leaf: ast.Query) -> bool:
    return (field := ast.field_of(leaf)) is not None and field.startswith(_PREFIX)


def _renamed(field: str) -> str:
    return f"{_STATE}.{field.removeprefix(_PREFIX)}"
