"""Searchable objects and queries at random, and the plain answer that every engine must give."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from thingstead.model.query import ast
from thingstead.model.query.fields import DOCID, flatten
from thingstead.model.query.pattern import literal_prefix, lucene_regex, wildcard
from thingstead.model.query.predicate import matches
from thingstead.model.query.sort import SortBy, in_order, sort_keys
from thingstead.model.values import JsonObject
from thingstead.ports.index import Document, Hit, Hits, SearchRequest

APPS = ("one", "two")
TYPES = ("sensor", "cat", "address")
WORDS = (
    "hot",
    "Hot",
    "roof",
    "rof",
    "a",
    "Ann",
    "Ann Smith",
    "node.js",
    "5",
    "4.5",
    "-3",
    "true",
    "été",
    "东京 塔",
    "x_y",
)
LONG = "Ann Smith took the hot roof of the house away in 2024 and"  # longer than engines keep values as they are
TEXTS = (
    *WORDS,
    LONG,
    LONG + " never",
    LONG.lower(),
    LONG[:47],
    LONG[:48],
    LONG[:49],
    "hot roof",
    "roof hot",
    "The hot, hot roof!",
    "a roof so hot",
    "hot roof of Ann",
    "",
    " ",
    "a\nb",
    "2024-01-05",
)
ENDS = ("1", "2")  # ids of nested entries
NUMBERS = (0, 1, -1, 5, 4.5, -3, 1e300, 2**53 + 1, -0.0, True, False)
FIELDS = (
    *("id", "type", "name", "tags", "timestamp", "votes", "country", "latlng", "tags[0]"),
    *("properties.a", "properties.b", "properties.deep.a", "properties.pets.name", "properties.pets[1].name"),
    *("properties.pets", "properties.list", "properties.list[1]", "properties.none", "nstd.name"),
    *("appid", "version", "stored", "indexed", "cached"),
)
ENVELOPE: JsonObject = {"version": 0, "stored": True, "indexed": True, "cached": True}


def scalars() -> st.SearchStrategy[Any]:
    return st.sampled_from(TEXTS) | st.sampled_from(NUMBERS)


def values() -> st.SearchStrategy[Any]:
    pet = st.fixed_dictionaries({}, optional={"name": st.sampled_from(TEXTS), "age": st.sampled_from(NUMBERS)})
    return scalars() | st.lists(scalars(), max_size=3) | st.lists(pet, max_size=3) | st.none()


def nested() -> st.SearchStrategy[JsonObject]:
    """An entry of `nstd`."""
    return st.fixed_dictionaries(
        {"name": st.sampled_from(TEXTS), "n": scalars()}, optional={"id": st.sampled_from(ENDS)}
    )


@st.composite
def fields(draw: st.DrawFn, id: str, type: str, app: str = APPS[0]) -> JsonObject:
    """The searchable form of an object."""
    found: JsonObject = {
        "id": id,
        "type": type,
        "timestamp": draw(st.integers(1, 4)),
        "votes": draw(st.integers(-1, 1)),
    }
    if draw(st.booleans()):  # the envelope as most objects have it, or nearly
        found |= {"appid": draw(st.sampled_from((app, app, app, "x"))), **ENVELOPE}
        found |= draw(
            st.fixed_dictionaries({}, optional={"cached": st.sampled_from((False, 1)), "version": st.just(5)})
        )
    found |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(TEXTS),
                "tags": st.lists(st.sampled_from(WORDS), max_size=3),
                "country": st.sampled_from(TEXTS),
                "latlng": st.sampled_from(
                    ("40.67,-73.94", "40.69, -73.95", "0,179.99", "0,-179.99", "89.9,10", "x", "91,0")
                ),
                "nstd": st.lists(nested(), max_size=3),
                "deviceState": st.just({"hot": "hot"}),
                "properties": st.fixed_dictionaries(
                    {},
                    optional={
                        "a": scalars(),
                        "b": values(),
                        "deep": st.fixed_dictionaries({"a": values()}),
                        "pets": values(),
                        "list": values(),
                        "odd.name": scalars(),
                        "sep\x1fTproperties.a": st.just("hot\x1fTproperties.b"),
                    },
                ),
            },
        )
    )
    return found


LONG_PATTERNS = (
    f"{LONG}*",
    f"{LONG[:24]}*",
    f"{LONG[:25]}*",
    f"{LONG[:30]}*and",
    f"{LONG[:48]}?",
    "A*er",
    f"{LONG[:48]}*",
)


def leaves() -> st.SearchStrategy[ast.Query]:
    names = st.sampled_from(FIELDS)
    maybe = st.none() | names
    texts = st.sampled_from(TEXTS)
    patterns = st.sampled_from(
        (*("h*", "A*", "*", "ro?f", "*o*", "*5", "?", "a\\*", "hot roof*", "4*", "t*e", "tru?", "o*"), *LONG_PATTERNS)
    )
    regexes = st.sampled_from(("ro+f", "[a-h].*", "(hot|roof)", ".{1,2}", "[^a]+", "Ann.*", "@", "\\d+", "", "[ -~]*"))
    ends = st.none() | st.sampled_from(
        ("0", "1", "4.5", "-3", "5", "a", "Hot", "roof", "2024", "1e300", "9007199254740993")
    )
    return st.one_of(
        st.just(ast.ALL),
        st.just(ast.NOTHING),
        st.builds(ast.Exists, names),
        st.builds(ast.Words, maybe, texts, st.sampled_from((0, 0, 1, 2, 5))),
        st.builds(lambda field, text: ast.Match(field, wildcard(text), wildcard(text.lower())), maybe, patterns),
        st.builds(lambda field, text: ast.Match(field, lucene_regex(text), lucene_regex(text)), maybe, regexes),
        st.builds(lambda field, text: ast.Like(field, wildcard(text)), names, patterns),
        st.builds(
            lambda field, text: ast.Like(field, literal_prefix(text)),
            names,
            st.sampled_from(("h", "A", "Ann S", "5", LONG[:24], LONG[:25], LONG)),
        ),
        st.builds(ast.Fuzzy, maybe, texts, st.integers(0, 2)),
        st.builds(ast.Range, maybe, ends, ends, st.booleans(), st.booleans()),
        st.builds(ast.Equals, names, st.lists(texts, min_size=1, max_size=3).map(tuple)),
        st.builds(
            ast.Near,
            st.sampled_from((40.6, 0.0, 89.95)),
            st.sampled_from((-73.9, 180.0, -170.0)),
            st.sampled_from((5.0, 10.0, 20000.0)),
        ),
    )


def queries() -> st.SearchStrategy[ast.Query]:
    """Any AST."""

    def extend(children: st.SearchStrategy[ast.Query]) -> st.SearchStrategy[ast.Query]:
        parts = st.lists(children, max_size=3).map(tuple)
        return st.builds(ast.Bool, parts, parts, parts, st.integers(0, 2)) | st.builds(
            ast.Nested, st.just("nstd"), children, st.none() | st.sampled_from(ENDS)
        )

    return st.recursive(leaves(), extend, max_leaves=5)


def sorts() -> st.SearchStrategy[tuple[SortBy, ...]]:
    by = st.builds(SortBy, st.sampled_from((*FIELDS, DOCID, "timestamp", "votes")), st.booleans())
    # as parse_sort: nothing stands after the hidden field
    return st.lists(by, max_size=3).map(
        lambda found: tuple(found[: 1 + [*(b.field for b in found), DOCID].index(DOCID)])
    )


def requests() -> st.SearchStrategy[SearchRequest]:
    plain = st.builds(
        SearchRequest,
        st.sampled_from(APPS),
        st.just(ast.ALL) | queries(),
        st.none() | st.sampled_from(TYPES),
        sorts(),
        st.integers(0, 6),
        st.integers(0, 6),
    )
    after = st.builds(
        lambda app, query, type, desc, limit, after: SearchRequest(
            app, query, type, (SortBy(DOCID, desc),), 0, limit, after
        ),
        st.sampled_from(APPS),
        st.just(ast.ALL) | queries(),
        st.none() | st.sampled_from(TYPES),
        st.booleans(),
        st.integers(0, 6),
        st.integers(0, 40),
    )
    return plain | after


def answer(documents: Iterable[Document], request: SearchRequest) -> Hits:
    """What a search must find among the living documents: the plain predicate over all of them."""
    found = [
        Hit(document.id, document.docid, sort_keys(flatten(document.fields), document.docid, request.sort))
        for document in documents
        if document.app == request.app
        and request.type in (None, document.type)
        and document.id not in request.exclude
        and matches(request.query, document.fields)
    ]
    total = len(found)
    if request.after is not None:
        desc = request.sort[0].desc
        found = [hit for hit in found if (hit.docid < request.after if desc else hit.docid > request.after)]
    ordered = in_order(found, request.sort, lambda hit: hit.docid, lambda hit: hit.keys)
    return Hits(total, ordered[request.offset : request.offset + request.limit])
