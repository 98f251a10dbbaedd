"""Query strings mean what objects.md 6.6 says; what Lucene accepts is read as luqum reads it; nothing else fails."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from luqum import tree
from luqum.parser import lexer, parser

from thingstead.model.errors import InvalidQuery
from thingstead.model.query import ast
from thingstead.model.query.parser import MAX_CLAUSES, MAX_DEPTH, MAX_TOKENS, parse_query
from thingstead.model.query.pattern import Pattern, lucene_regex, wildcard


def words(text: str, field: str | None = None, slop: int = 0) -> ast.Words:
    return ast.Words(field, text, slop)


def like(text: str, field: str | None = None) -> ast.Match:
    return ast.Match(field, wildcard(text), wildcard(text.lower()))


def regex(text: str, field: str | None = None) -> ast.Match:
    return ast.Match(field, lucene_regex(text), lucene_regex(text))


def either(*parts: ast.Query) -> ast.Bool:
    return ast.Bool(should=parts, minimum=1)


def both(*parts: ast.Query) -> ast.Bool:
    return ast.Bool(must=parts)


def no(*parts: ast.Query) -> ast.Bool:
    return ast.Bool(must_not=parts)


A, B, C, D = (words(letter) for letter in "abcd")


@pytest.mark.parametrize(
    ("text", "query"),
    [
        # terms, phrases, escapes
        ("roof", words("roof")),
        ("  roof\t", words("roof")),
        ('"hot roof"', words("hot roof")),
        ('"hot roof"~3', words("hot roof", slop=3)),
        (r'"say \"hi\""', words('say "hi"')),
        ('""', words("")),
        (r"a\:b\ c\*", words("a:b c*")),
        (r"\+\-\&\|\!\(\)\{\}\[\]\^\"\~\*\?\:\\\/", words('+-&|!(){}[]^"~*?:\\/')),
        (r"\u0041\u00e9", words("Aé")),
        (r"AN\D", words("AND")),
        ("AT&T", words("AT&T")),
        ("a-b+c", words("a-b+c")),
        ("and or not to", either(words("and"), words("or"), words("not"), words("to"))),
        ("a\x1fb", words("a\ufffdb")),
        # fields and groups
        ("name:Roof", words("Roof", "name")),
        ('name: "Ann Smith"', words("Ann Smith", "name")),
        ("properties.unit:(C OR F)", either(words("C", "properties.unit"), words("F", "properties.unit"))),
        ("a:(x b:y)", either(words("x", "a"), words("y", "b"))),
        ("properties.pets[1].name:rex", words("rex", "properties.pets[1].name")),
        ("a[0][12]:x", words("x", "a[0][12]")),
        (r"odd\:name:x", words("x", "odd:name")),
        ("id:tag\\:test", words("tag:test", "id")),
        # all and exists
        ("*", ast.ALL),
        ("*:*", ast.ALL),
        ("*:roof", words("roof")),
        ("name:*", ast.Exists("name")),
        ("name:[* TO *]", ast.Exists("name")),
        ("name:(*)", ast.Exists("name")),
        ("[* TO *]", ast.ALL),
        # patterns
        ("ro?f*", like("ro?f*")),
        ("roo*", like("roo*")),
        ("name:An*", like("An*", "name")),
        (r"a\*b*", like(r"a\*b*")),
        ("roof~", ast.Fuzzy(None, "roof", 2)),
        ("roof~1", ast.Fuzzy(None, "roof", 1)),
        ("roof~0", ast.Fuzzy(None, "roof", 0)),
        ("roof~0.8", ast.Fuzzy(None, "roof", 0)),
        ("roof~0.5", ast.Fuzzy(None, "roof", 2)),
        ("roof~9", ast.Fuzzy(None, "roof", 2)),
        ("/ro+f/", regex("ro+f")),
        (r"a:/x\/y/", regex("x/y", "a")),
        # ranges
        ("[1 TO 5]", ast.Range(None, "1", "5")),
        ("n:{1 TO 5}", ast.Range("n", "1", "5", False, False)),
        ("n:[1 TO 5}", ast.Range("n", "1", "5", True, False)),
        ("n:{-1.5 TO *]", ast.Range("n", "-1.5", None, False, True)),
        ('d:["a b" TO "*"]', ast.Range("d", "a b", "*")),
        ("d:[2024-01-05T10:00 TO 2024-02-01]", ast.Range("d", "2024-01-05T10:00", "2024-02-01")),
        ("timestamp:{12345 TO *}", ast.Range("timestamp", "12345", None, False, False)),
        ("age:>5", ast.Range("age", "5", None, False, True)),
        ("age:>=-5", ast.Range("age", "-5", None)),
        ("age:<5", ast.Range("age", None, "5", True, False)),
        ('age:<="x y"', ast.Range("age", None, "x y")),
        ("age:(>4 <=8)", either(ast.Range("age", "4", None, False, True), ast.Range("age", None, "8"))),
        ("age:((>4) 5) >5", either(either(ast.Range("age", "4", None, False, True), words("5", "age")), words(">5"))),
        # boosts change nothing
        ("roof^2", words("roof")),
        ("roof~1^2.5", ast.Fuzzy(None, "roof", 1)),
        ("roof^2~1", ast.Fuzzy(None, "roof", 1)),
        ("(a b)^3 c", either(either(A, B), C)),
        # operators
        ("a b", either(A, B)),
        ("a OR b", either(A, B)),
        ("a || b", either(A, B)),
        ("a AND b", both(A, B)),
        ("a&&b", both(A, B)),
        ("a OR b AND c", either(A, both(B, C))),
        ("a AND b OR c AND d", either(both(A, B), both(C, D))),
        ("a AND b c", either(both(A, B), C)),
        ("(a OR b) AND c", both(either(A, B), C)),
        ("NOT a", no(A)),
        ("-a", no(A)),
        ("!a", no(A)),
        ("! ! a", A),
        ("NOT a b", ast.Bool(should=(B,), must_not=(A,), minimum=1)),
        ("a -b", ast.Bool(should=(A,), must_not=(B,), minimum=1)),
        ("-a -b", no(A, B)),
        ("a AND NOT b", ast.Bool(must=(A,), must_not=(B,))),
        ("a AND -b", ast.Bool(must=(A,), must_not=(B,))),
        ("NOT a AND NOT b", no(A, B)),
        ("a OR NOT b", either(A, no(B))),
        ("+a b -c", ast.Bool((A,), (B,), (C,))),
        ("+a +b", both(A, B)),
        ("+a", A),
        ("a +(b c)", ast.Bool((either(B, C),), (A,))),
        ("-properties.age:[* TO 33]", no(ast.Range("properties.age", None, "33"))),
    ],
)
def test_a_query_string_means(text: str, query: ast.Query) -> None:
    assert parse_query(text) == query


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "(",
            ")",
            "()",
            "a)",
            "(a",
            "((a)",
            "name:[",
            "name:",
            "name:()",
            ":",
            ":a",
            '"',
            '"a',
            'a "',
            "/",
            "/a",
        ),
        *(
            "AND",
            "OR",
            "NOT",
            "a AND",
            "AND a",
            "a OR",
            "a AND OR b",
            "a NOT",
            "a !",
            "+",
            "-",
            "a -",
            "+ AND b",
            "a && || b",
        ),
        *(
            "*oof",
            "?oof",
            "name:?x",
            "name:*x",
            "**",
            "?",
            "[1 TO]",
            "[1 5]",
            "[1 to 5]",
            "[TO 5]",
            "{1 TO 5",
            "1 TO 5]",
        ),
        *("^2", "~1", "a^", "a^b^", "a~1~1", "a^1^1", "(a)~1", "[1 TO 2]~1", "\\", "a\\", "n*me:x", "]", "}", "a:b:c"),
        *(
            "/(/",
            "/)/",
            "/a{2,1}/",
            "/[/",
            "/[b-a]/",
            "/a{99999}/",
            "/+/",
            "/a~b/",
            "/<1-5>/",
            "/((a{50}){50}){50}/",
            "/a\\/",
        ),
        *(
            "(" * (MAX_DEPTH + 2) + "a" + ")" * (MAX_DEPTH + 2),
            "a " * (MAX_CLAUSES + 1),
            "/" + "(" * 900 + "/",
            "x" * 70_000,
            "!" * (MAX_TOKENS + 1) + "a",
        ),
    ],
)
def test_an_invalid_query_string_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_query(text)
    assert caught.value.field == "q"
    assert caught.value.message


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from('ab AND OR NOT TO \t*?:"/\\()[]{}^~+-!&|<>=.0123é\x1f\x00\ud7ff'), max_size=25))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = parse_query(text)
    except InvalidQuery:
        return
    assert len(list(ast.walk(query))) >= 1


def as_luqum(node: tree.Item, field: str | None = None) -> ast.Query:
    """luqum's tree as our AST, for the subset of the syntax that luqum reads as Lucene does."""
    match node:
        case tree.SearchField():
            return as_luqum(node.expr, node.name.replace("\\", ""))
        case tree.Group() | tree.FieldGroup():
            return as_luqum(node.expr, field)
        case tree.Boost():
            return as_luqum(node.expr, field)
        case tree.Fuzzy():
            return ast.Fuzzy(field, node.term.value, int(node.degree))
        case tree.Proximity():
            return ast.Words(field, node.term.value[1:-1], int(node.degree))
        case tree.Phrase():
            return ast.Words(field, node.value[1:-1], 0)
        case tree.Regex():
            return regex(node.value[1:-1], field)
        case tree.Range():
            ends = [None if end.value == "*" else end.value for end in (node.low, node.high)]
            return ast.Range(field, *ends, node.include_low, node.include_high)
        case tree.Word():
            if node.value == "*":
                return ast.ALL if field is None else ast.Exists(field)
            return like(node.value, field) if node.has_wildcard() else ast.Words(field, node.value, 0)
        case tree.AndOperation():
            return both(*(as_luqum(child, field) for child in node.children))
        case tree.OrOperation() | tree.UnknownOperation():
            return either(*(as_luqum(child, field) for child in node.children))
        case tree.Not():
            return no(as_luqum(node.a, field))
        case _:
            raise AssertionError(f"not in the subset: {node!r}")


def flat(query: ast.Query) -> ast.Query:
    """The query with nested ANDs and ORs, which group differently, joined."""
    if not isinstance(query, ast.Bool):
        return query
    must, must_not, should = [], [], []
    for part in map(flat, query.must):
        if isinstance(part, ast.Bool) and not part.should:
            must.extend(part.must)
            must_not.extend(part.must_not)
        else:
            must.append(part)
    must_not.extend(map(flat, query.must_not))
    for part in map(flat, query.should):
        if isinstance(part, ast.Bool) and part.should and not part.must and not part.must_not:
            should.extend(part.should)
        else:
            should.append(part)
    return ast.Bool(tuple(must), tuple(should), tuple(must_not), query.minimum)


def query_strings() -> st.SearchStrategy[str]:
    word = st.sampled_from(
        ("roof", "Hot", "x1", "été", "ro?f*", "hot*", "*", "node.js", "roof~1", "a^2", '"hot roof"', '"a b"~3')
    )
    clause = word | st.sampled_from(("/ro+f/", "[1 TO 5]", "{a TO *}", "[* TO 2024-01-05}"))
    fielded = st.builds("{}:{}".format, st.sampled_from(("name", "properties.unit", "a_b")), clause)

    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("({})".format, inner),
            st.builds("name:({})".format, inner),
            st.builds("({}) AND ({})".format, inner, inner),
            st.builds("{} AND {}".format, clause, fielded),
            st.builds("({}) OR ({})".format, inner, inner),
            st.builds("{} OR {} AND {}".format, clause, clause, fielded),
            st.builds("NOT ({})".format, inner),
            st.builds("{} AND NOT {}".format, fielded, clause),
        )

    return st.recursive(clause | fielded, extend, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(query_strings())
def test_it_reads_as_luqum_reads(text: str) -> None:
    assert flat(parse_query(text)) == flat(as_luqum(parser.parse(text, lexer=lexer)))


@given(st.text(st.sampled_from("ab*?\\"), max_size=8), st.text(st.sampled_from("ab*?\\"), max_size=8))
def test_an_escaped_pattern_means_itself(text: str, other: str) -> None:
    escaped: Pattern = wildcard("".join(f"\\{char}" if char in "*?\\" else char for char in text))
    assert escaped.matches(text)
    assert escaped.matches(other) is (other == text)
