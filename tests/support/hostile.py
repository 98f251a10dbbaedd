"""Search parameters that somebody sends to do harm: a corpus, damaged at random, and texts that grow without end."""

from hypothesis import strategies as st

from thingstead.core.metrics import FINDS

CORPUS = (
    'name:"Ann Smith"~2 AND NOT (roof OR hot^2.5)',
    "+a -b !c && d || (e f)",
    "properties.pets[1].name:An* OR tags:(one two)",
    "timestamp:[1 TO 4} votes:{* TO -3]",
    "votes:>=5 votes:<4.5 name:>Ann",
    r"a\:b\ c\* \u0041\ud800 \\",
    "/ro+f/ name:/(a|b){2,3}[^a-z0-9]?@/ /\\d+\\/x/",
    "rof~ Anm~1 name:hto~0.7",
    "*:* _exists_:a name:* na?e*",
    "东京 été x_y 1e300 0x1f -0.0 \U0001f600",
    '"un\\"escaped" [2024-01-05 TO "2024 01"]',
    "nstd.name:a nstd:b latlng:1,2 _docid:7 type:dog",
    "a AND OR b NOT AND )( ^ ~ : [ ] { }",
)

LONG = 60_000
HOSTILE = (
    *(
        sign * LONG
        for sign in ("(", ")", "!", "+", "-", "[", "{", '"', "/", "\\", "*", "?", ":", "^", "~", "<", " ", "&&")
    ),
    *(
        f"a{part * (LONG // len(part))}"
        for part in ("*", "?", "~1", "^2", ":", "[1]", ".a", "\\", " AND ", "é", "a*b?")
    ),
    *(part * 1_000 for part in ("a* ", "/a{9}/ ", "a~ ", '"a b"~9 ', "[a TO b] ", "(a) ", "a:b ", "!a ", "a AND ")),
    "[a" + " " * LONG,
    "[" + "a" * LONG,
    "[a TO " + "b" * LONG,
    "a:>" + '"' + "b" * LONG,
    "/" + "(a|" * 400 + "b" + ")" * 400 + "/",
    "/" + "(" * 40 + "a" + "{9,99})" * 40 + "/",
    "/" + "((a+)+)+" * 100 + "/",
    "/" + "[a-z]" * 190 + "/",
    "/(a?){900}a{900}/",
    "/[" + "a-b" * 300 + "]/",
    "/" + ".*" * 450 + "x/",
    "*a" * 450,
    "a" + "*a" * 450,
    "a" + "?" * 900,
    "a" * LONG + "~2",
    '"' + "a " * (LONG // 2) + '"~9',
    "[" + "9" * 5_000 + " TO *]",
    "a~" + "9" * 5_000 + ' "a b"~' + "9" * 5_000,
)

_PIECES = st.one_of(
    st.sampled_from("\x00\x1f\ufffd\ud800\U0001f600\n9a.,@#"),
    st.sampled_from('\\"/()[]{}:*?~^<>=!+-'),
    st.sampled_from(("&&", "||", " AND ", " OR ", " NOT ", " TO ")),
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A query of the corpus with bytes changed, cut out, doubled or put in; what is no UTF-8 any more is replaced."""
    text = bytearray(draw(st.sampled_from(CORPUS)).encode())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(text)))
        to = min(len(text), at + draw(st.integers(0, 5)))
        put = draw(
            st.just(b"")
            | _PIECES.map(lambda piece: piece.encode(errors="surrogatepass"))
            | st.binary(min_size=1, max_size=3)
            | st.just(bytes(text[at:to]) * 2)
        )
        text[at:to] = put
    return bytes(text).decode(errors=draw(st.sampled_from(("replace", "ignore"))))


def texts() -> st.SearchStrategy[str]:
    """Damaged queries, signs in any order, and any text."""
    return damaged() | st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=30)


def pairs() -> st.SearchStrategy[str]:
    """Entries of `terms`."""
    names = st.sampled_from(("name", "a.b[0]", "votes>=", "votes <", ">", "tags", "", "x\x1f", "latlng", "nstd.name"))
    return st.builds("{}:{}".format, names, texts()) | texts()


def searches() -> st.SearchStrategy[tuple[str, dict[str, list[str]]]]:
    """(query type, parameters)."""
    kinds = (*FINDS, "other")
    names = (
        *("q", "field", "prefix", "sort", "select", "id", "like", "filterid", "latlng", "radius", "page", "limit"),
        *("lastKey", "desc", "matchall", "count"),
    )
    numbers = st.sampled_from(("0", "-1", "9" * 18, "9" * 19, "-9223372036854775808", "1e9", "nan", "", "１"))
    fields = st.sampled_from(("name", "tags", "properties.a", "_docid", "nstd", "latlng", "timestamp", "a\x00b"))
    value = texts() | fields | numbers
    single = st.dictionaries(st.sampled_from(names), value.map(lambda text: [text]), max_size=5)
    many = st.fixed_dictionaries(
        {},
        optional={
            "ids": st.lists(texts(), max_size=3),
            "tags": st.lists(texts(), max_size=3),
            "terms": st.lists(pairs(), max_size=4),
            "fields": st.lists(value, max_size=3),
            "sort": st.lists(st.builds("{}:{}".format, value, st.sampled_from(("asc", "desc", "x"))), min_size=1).map(
                lambda parts: [",".join(parts)]
            ),
        },
    )
    return st.tuples(st.sampled_from(kinds), st.builds(lambda one, more: {**one, **more}, single, many))
