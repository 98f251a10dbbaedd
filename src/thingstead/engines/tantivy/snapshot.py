"""One committed generation of the tantivy index, and how a request is answered from it.

Promises: the answer of the predicate, always. An exact query ordered by docid or by one numeric field runs wholly in
tantivy; any other has tantivy find the candidates, whose kept fields are then re-checked and sorted here, in a
thread.
"""

import asyncio
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import orjson
import tantivy
from tantivy import DocAddress, Document, FieldType, Order, Query, Schema, Searcher

from thingstead.engines.tantivy.schema import COLUMNS, NOT_ONE_NUMBER, Column, held, id_of, key, member
from thingstead.engines.tantivy.translate import ManyPatterns, Translation, all_of, any_of
from thingstead.model.errors import Unavailable
from thingstead.model.query import ast
from thingstead.model.query.fields import DOCID, flatten, members_at, unsortable
from thingstead.model.query.predicate import Subject, compile_query
from thingstead.model.query.sort import MISSING, SortBy, SortKey, in_order, sort_keys
from thingstead.model.values import JsonObject
from thingstead.ports.index import Hit, Hits, SearchRequest

_INLINE_DOCS = 50_000  # of an app and type; up to this a cheap query is faster than the way to a thread and back
_INLINE_CANDIDATES = 200
_INLINE_KEPT = 50
_INLINE_PATTERNS = 4
_KEYS_AT_ONCE = 128
_HINTS = 256  # questions whose answers' places are remembered
_MARKS = 1_000  # pages of one question whose places are remembered, in one generation
_IDS = 50_000  # hits whose ids are remembered
_ANSWERS = 256  # answers that are remembered
_ANSWER_HITS = 100  # at most in one that is
Result = TypeVar("Result")


def guarded(work: Callable[[], Result]) -> Result:
    """Run tantivy calls; its errors and panics become Unavailable."""
    try:
        return work()
    except (ValueError, OSError) as error:
        raise Unavailable(f"the search index failed: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3's, a BaseException that cannot be imported
            raise
        raise Unavailable(f"the search index failed: {error}") from error


_Wide: TypeAlias = tuple[str, str | None, ast.Query]
"""App, type and a query that may match very many, and that is small enough to be remembered."""


_Hint: TypeAlias = tuple[_Wide, bool, int]
"""The question, whether descending, and how many hits it wanted as a power of two (-1: a page of docids)."""


class _Mark(NamedTuple):
    """`before` hits have times before `time`; that page's hits spread over `span`."""

    before: int
    time: int
    span: int


def _wide(request: SearchRequest) -> _Wide | None:
    small = isinstance(request.query, ast.All | ast.Words | ast.Exists | ast.Range)
    return (request.app, request.type, request.query) if small else None


@dataclass(slots=True)
class _Plan:
    """A translated request: `base` finds at least what matches, without what is excluded."""

    request: SearchRequest
    sort: tuple[SortBy, ...]
    translation: Translation
    base: Query
    exact: bool
    direct: bool  # tantivy alone can order it
    column: Column | None  # that it is ordered by


class TantivySnapshot:
    """Implements ports.index.Snapshot."""

    def __init__(
        self,
        index: tantivy.Index,
        schema: Schema,
        searcher: Searcher,
        seq: int,
        threads: Executor,
        ids: dict[tuple[str, int], str],
        edges: "dict[_Hint, int]",
    ) -> None:
        self._index = index
        self._schema = schema
        self._searcher = searcher
        self._seq = seq
        self._threads = threads
        self._edges = edges  # of questions asked before: the time of the last hit, or how far a page of docids reached
        self._totals: dict[_Wide, int] = {}
        self._marks: dict[tuple[_Wide, bool], list[_Mark]] = {}  # where pages lay, by place
        self._answers: dict[tuple[object, ...], Hits] = {}  # by all that was asked but `exclude`
        self._known = ids  # (app, docid) -> id: reading a stored document costs more than finding it

    @property
    def seq(self) -> int:
        """See the port."""
        return self._seq

    async def search(self, request: SearchRequest) -> Hits:
        """See the port. Nothing changes in a generation, so short answers are remembered as long as it is searched."""
        if request.exclude or request.limit > _ANSWER_HITS:
            return await self._search(request)
        asked = (request.app, request.type, request.query, request.sort, request.offset, request.limit, request.after)
        hits = self._answers.get(asked)
        if hits is None:
            hits = await self._search(request)
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            self._answers[asked] = hits
        return hits

    async def _search(self, request: SearchRequest) -> Hits:
        try:
            plan = guarded(lambda: self._plan(request, _INLINE_PATTERNS))
        except ManyPatterns:
            return await self._in_thread(lambda: self._run(self._plan(request, sys.maxsize)))
        if plan.direct:
            inline = not plan.translation.heavy and plan.translation.most() <= _INLINE_DOCS
        else:
            inline = not plan.translation.heavy and self._count(plan.base) <= _INLINE_CANDIDATES
        if inline:
            return guarded(lambda: self._run(plan))
        return await self._in_thread(lambda: self._run(plan))

    async def kept(self, app: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        """See the port."""

        def read() -> Mapping[str, JsonObject]:
            found: dict[str, JsonObject] = {}
            for id in ids:
                query = Query.term_query(self._schema, "key", key(app, id))
                for _, address in self._searcher.search(query, 1, count=False).hits:
                    found[id] = orjson.loads(_kept(self._searcher.doc(address)))
            return found

        if len(ids) <= _INLINE_KEPT:
            return guarded(read)
        return await self._in_thread(read)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: guarded(work))

    def _run(self, plan: _Plan) -> Hits:
        return self._direct(plan) if plan.direct else self._checked(plan)

    def _plan(self, request: SearchRequest, patterns: int) -> _Plan:
        translation = Translation(self._index, self._schema, self._searcher, request.app, request.type, patterns)
        must = [translation.scope]
        found = translation.query(request.query)
        must.append(found)
        without = [self._keyed(request)] if request.exclude else []
        sort = request.sort
        column = COLUMNS.get(sort[0].field) if len(sort) == 1 and translation.exact else None
        if column is not None and translation.present(column.absent):
            column = None
        direct = translation.exact and (
            not sort
            or column is not None
            or sort[0].field == DOCID
            or (len(sort) == 1 and not translation.present(NOT_ONE_NUMBER + sort[0].field))
        )
        return _Plan(request, sort, translation, all_of(must, without), translation.exact, direct, column)

    def _keyed(self, request: SearchRequest) -> Query:
        keys = [key(request.app, id) for id in request.exclude]
        if len(keys) > _KEYS_AT_ONCE:
            return Query.term_set_query(self._schema, "key", keys)
        return any_of([Query.term_query(self._schema, "key", text) for text in keys])

    def _count(self, query: Query) -> int:
        result: Any = self._searcher.search(query, 1)  # the stubs do not know `count`
        return result.count

    def _ids(self, app: str, docids: Sequence[int], addresses: Sequence[DocAddress]) -> list[str]:
        known = self._known
        found = [known.get((app, docid), "") for docid in docids]
        if "" in found:
            if len(known) > _IDS:
                known.clear()
            for at, address in enumerate(addresses):
                if not found[at]:
                    found[at] = known[app, docids[at]] = id_of(str(self._searcher.doc(address).get_first("key")))
        return found

    # --- ordered by tantivy

    def _direct(self, plan: _Plan) -> Hits:
        if not plan.request.limit:
            return Hits(self._total(plan), ())
        if plan.column is not None:
            return self._by_column(plan, plan.sort[0], plan.column)
        if plan.sort and plan.sort[0].field != DOCID:
            return self._by_number(plan, plan.sort[0])
        return self._by_docid(plan)

    def _by_docid(self, plan: _Plan) -> Hits:
        request = plan.request
        by = plan.sort[0] if plan.sort else None
        desc = by is not None and by.desc
        order = Order.Desc if desc else Order.Asc
        if request.after is not None:
            total, found = self._total(plan), self._beyond(plan, desc, request.after)
        else:
            result: Any = self._searcher.search(
                plan.base, request.limit, order_by_field="docid", offset=request.offset, order=order
            )
            total, found = result.count, cast("list[tuple[int, DocAddress]]", result.hits)
        docids = [docid for docid, _ in found]
        ids = self._ids(request.app, docids, [address for _, address in found])
        hits = [Hit(id, docid, ((1, docid),) if by else ()) for id, docid in zip(ids, docids, strict=True)]
        return Hits(total, hits)

    def _beyond(self, plan: _Plan, desc: bool, after: int) -> list[tuple[int, DocAddress]]:
        """The first hits behind a docid: within twice the distance that the page before took, if they are there."""
        wide, limit = _wide(plan.request), plan.request.limit
        hint = None if wide is None else (wide, desc, -1)
        order = Order.Desc if desc else Order.Asc
        distance = self._edges.get(hint) if hint is not None else None
        found: list[tuple[int, DocAddress]] = []
        for far in (2 * distance, None) if distance is not None else (None,):
            low, high = (after + 1, None if far is None else after + far)
            if desc:
                low, high = (None if far is None else after - far, after - 1)
            query = all_of([plan.base, self._docids(low, high)])
            found = self._searcher.search(query, limit, count=False, order_by_field="docid", order=order).hits
            if len(found) == limit:
                if hint is not None:
                    self._remember(hint, abs(found[-1][0] - after))
                break
        return found

    def _docids(self, low: int | None, high: int | None) -> Query:
        """A range of docids, ends included; an end that no docid can reach is none."""
        if (low is not None and low >= 2**63) or (high is not None and high < -(2**63)):
            return Query.empty_query()
        low = None if low is None or low < -(2**63) else low
        high = None if high is None or high >= 2**63 else high
        if low is None and high is None:
            return Query.all_query()
        return Query.range_query(self._schema, "docid", FieldType.Integer, low, high)

    def _by_column(self, plan: _Plan, by: SortBy, column: Column) -> Hits:
        """tantivy does not order equal values by docid: groups of them that the page touches are ordered here."""
        request = plan.request
        skip = max(0, request.offset - 1)
        while True:
            total, found = self._ends(plan, column, by.desc, skip, request.offset - skip + request.limit + 1)
            keys = [value for value, _ in found]
            if not skip or len(keys) < 2 or keys[0] != keys[1]:
                break
            skip = 0  # the page begins inside a group: see all of it
        at = request.offset - skip
        end = min(at + request.limit, len(keys))
        if at >= end:
            return Hits(total, ())
        start, last = keys.index(keys[at]), keys[end - 1]
        cut = end < len(keys) and keys[end] == last
        stop = keys.index(last) if cut else end
        values, addresses = keys[start:stop], [address for _, address in found[start:stop]]
        docids = cast(list[int], self._searcher.fast_field_values("docid", addresses))
        if len(set(values)) < len(values):
            places = sorted(range(len(values)), key=docids.__getitem__)
            places.sort(key=values.__getitem__, reverse=by.desc)
            docids, addresses = [docids[place] for place in places], [addresses[place] for place in places]
        if cut:  # of a group that goes on behind the page the oldest belong to it
            group = all_of([plan.base, plan.translation.term(held(by.field, last))])
            oldest: list[tuple[int, DocAddress]] = self._searcher.search(
                group, end - stop, count=False, order_by_field="docid", order=Order.Asc
            ).hits
            docids += [docid for docid, _ in oldest]
            addresses += [address for _, address in oldest]
        first = at - start
        ids = self._ids(request.app, docids[first:], addresses[first:])
        sort_keys = cast("list[tuple[SortKey]]", [((column.kind, value),) for value in keys[at:end]])
        return Hits(total, list(map(Hit, ids, docids[first:], sort_keys)))

    def _ends(
        self, plan: _Plan, column: Column, desc: bool, skip: int, limit: int
    ) -> tuple[int, list[tuple[int | str, DocAddress]]]:
        """How many match, and the asked ones of them by a column.

        Sorting looks at every match, so a question that was asked before looks only where its answer lay then: at
        times not before (or after) the last one of that page. If as many as were asked for are there, they are right.
        A page behind one that this generation has answered begins where that one lay, however deep it is.
        """
        wide = _wide(plan.request) if column.name == "time" else None
        if wide is not None and skip and not plan.request.exclude:
            behind = self._behind(plan, wide, desc, skip, limit)
            if behind is not None:
                return self._total(plan), behind
        hint = None if wide is None else (wide, desc, (skip + limit).bit_length())
        order = Order.Desc if desc else Order.Asc
        if wide is not None and hint is not None and (edge := self._edges.get(hint)) is not None:
            low, high = (edge, None) if desc else (None, edge)
            near = all_of([plan.base, Query.range_query(self._schema, "time", FieldType.Integer, low, high)])
            found: list[tuple[Any, DocAddress]] = self._searcher.search(
                near, limit, count=False, order_by_field="time", offset=skip, order=order
            ).hits
            if len(found) == limit:
                self._remember(hint, found[-1][0])
                self._mark(plan, wide, desc, skip, found)
                return self._total(plan), found
        result: Any = self._searcher.search(plan.base, limit, order_by_field=column.name, offset=skip, order=order)
        found = result.hits
        if wide is not None and hint is not None and len(found) == limit:
            self._remember(hint, found[-1][0])
            self._mark(plan, wide, desc, skip, found)
        return result.count, found

    def _behind(
        self, plan: _Plan, wide: _Wide, desc: bool, skip: int, limit: int
    ) -> list[tuple[Any, DocAddress]] | None:
        """The hits from the place `skip` on, looked for behind the nearest mark; None without a mark."""
        marks = self._marks.get((wide, desc), ())
        at = bisect_right(marks, skip, key=lambda mark: mark.before) - 1
        if at < 0:
            return None
        mark = marks[at]
        order = Order.Desc if desc else Order.Asc
        found: list[tuple[Any, DocAddress]] = []
        for far in (2 * mark.span, None):
            end = None if far is None else mark.time - far if desc else mark.time + far
            low, high = (end, mark.time) if desc else (mark.time, end)
            near = all_of([plan.base, Query.range_query(self._schema, "time", FieldType.Integer, low, high)])
            found = self._searcher.search(
                near, limit, count=False, order_by_field="time", offset=skip - mark.before, order=order
            ).hits
            if len(found) == limit:
                break
        self._mark(plan, wide, desc, skip, found)
        return found

    def _mark(self, plan: _Plan, wide: _Wide, desc: bool, skip: int, found: Sequence[tuple[Any, DocAddress]]) -> None:
        """Remember where the last time among hits begins, if it begins among them."""
        if plan.request.exclude or len(found) < 2:
            return
        times = [time for time, _ in found]
        first = times.index(times[-1])
        if not first:
            return
        marks = self._marks.setdefault((wide, desc), [])
        mark = _Mark(skip + first, times[-1], abs(times[-1] - times[0]))
        at = bisect_right(marks, mark.before, key=lambda each: each.before)
        if not at or marks[at - 1].before != mark.before:
            marks.insert(at, mark)
            if len(marks) > _MARKS:
                del marks[0]

    def _remember(self, hint: _Hint, value: int) -> None:
        if len(self._edges) >= _HINTS:
            self._edges.clear()
        self._edges[hint] = value

    def _total(self, plan: _Plan) -> int:
        """How many match; of questions that are remembered counted once a generation."""
        wide = None if plan.request.exclude else _wide(plan.request)
        if wide is None:
            return self._count(plan.base)
        total = self._totals.get(wide)
        if total is None:
            total = self._totals[wide] = self._count(plan.base)
        return total

    def _by_number(self, plan: _Plan, by: SortBy) -> Hits:
        """tantivy's aggregation sorts by (number, docid), but puts missing values first in both directions."""
        request = plan.request
        path = f"n.{member(by.field)}"
        if request.offset and request.offset >= (total := self._count(plan.base)):
            return Hits(total, ())  # tantivy panics when asked for hits behind the last one
        total, having, hits = self._top(plan.base, path, by.desc, request.offset, request.limit)
        if having != total:
            exists = plan.translation.exists(by.field)
            halves = [(all_of([plan.base, exists]), having), (all_of([plan.base], [exists]), total - having)]
            if not by.desc:
                halves.reverse()
            found: list[tuple[int, SortKey]] = []
            start = 0
            for half, size in halves:
                offset = max(0, request.offset - start)
                limit = min(size, request.offset + request.limit - start) - offset
                if limit > 0:
                    found += self._top(half, path, by.desc, offset, limit)[2]
                start += size
            hits = found
        docids = [docid for docid, _ in hits]
        addresses = self._addresses(plan, docids)
        ids = self._ids(request.app, docids, [addresses[docid] for docid in docids])
        return Hits(total, [Hit(id, docid, (sort,)) for id, (docid, sort) in zip(ids, hits, strict=True)])

    def _top(
        self, query: Query, member: str, desc: bool, offset: int, limit: int
    ) -> tuple[int, int, list[tuple[int, SortKey]]]:
        """How many match, how many of them have the number, and the asked (docid, number) pairs."""
        wanted: dict[str, Any] = {
            "all": {"value_count": {"field": "docid"}},
            "having": {"value_count": {"field": member}},
            "top": {
                "top_hits": {
                    "from": offset,
                    "size": limit,
                    "sort": [{member: "desc" if desc else "asc"}, {"docid": "asc"}],
                    "docvalue_fields": ["docid"],
                }
            },
        }
        found = cast(dict[str, Any], self._searcher.aggregate(query, wanted))
        hits: list[tuple[int, SortKey]] = []
        for hit in found["top"]["hits"]:
            bits: int | None = hit["sort"][0]  # shifted by tantivy to be unsigned
            hits.append(
                (hit["docvalue_fields"]["docid"][0], MISSING if bits is None else (1, unsortable(bits - 2**63)))
            )
        return int(found["all"]["value"]), int(found["having"]["value"]), hits

    def _addresses(self, plan: _Plan, docids: Sequence[int]) -> dict[int, DocAddress]:
        if not docids:
            return {}
        wanted = any_of([Query.term_query(self._schema, "docid", docid) for docid in docids])
        hits: list[tuple[int, DocAddress]] = self._searcher.search(
            all_of([plan.translation.scope, wanted]), len(docids), count=False, order_by_field="docid"
        ).hits
        return dict(hits)

    # --- re-checked here

    def _checked(self, plan: _Plan) -> Hits:
        request = plan.request
        test = None if plan.exact else compile_query(request.query)
        candidates: list[tuple[int, DocAddress]] = self._searcher.search(
            plan.base, max(1, self._searcher.num_docs), count=False, order_by_field="docid", order=Order.Asc
        ).hits
        kept: list[Hit] = []
        paths = [by.field for by in request.sort]
        for docid, address in candidates:
            document = self._searcher.doc(address)
            fields = orjson.loads(_kept(document))
            if test is None:
                flat = flatten(members_at(fields, paths))
            else:
                subject = Subject(fields)
                if not test(subject):
                    continue
                flat = subject.flat
            id = id_of(str(document.get_first("key")))
            kept.append(Hit(id, docid, sort_keys(flat, docid, request.sort)))
        total = len(kept)
        if request.after is not None:
            desc = bool(request.sort) and request.sort[0].desc
            kept = [hit for hit in kept if (hit.docid < request.after if desc else hit.docid > request.after)]
        ordered = in_order(kept, request.sort, lambda hit: hit.docid, lambda hit: hit.keys)
        return Hits(total, ordered[request.offset : request.offset + request.limit])


def _kept(document: Document) -> bytes:
    """The searchable form that was kept with a document."""
    return bytes(cast("Sequence[int]", document.get_first("doc")))
