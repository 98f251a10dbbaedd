r"""Lucene's classic query syntax to the AST (objects.md 6.6).

Promises: every text gives an AST or InvalidQuery, never another error; time and depth are bounded. Default operator
OR; NOT binds before AND before OR; `+` and `-` are modifiers of their group (a `+` makes the plain siblings
optional); `NOT` beside a written OR is logical negation, beside a blank it excludes, as `-` does. Boosts are read and
dropped: they change no order. Unlike Lucene `field:*` is accepted, `&&` and `||` need no blanks around them, and
`name[1].x:` is a field.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from thingstead.model.errors import InvalidQuery
from thingstead.model.query import ast
from thingstead.model.query.fields import clean
from thingstead.model.query.pattern import lucene_regex, wildcard

MAX_DEPTH = 50
MAX_CLAUSES = 1_024
MAX_LENGTH = 65_536
MAX_TOKENS = 16 * MAX_CLAUSES

_Kind: TypeAlias = Literal[
    "term", "phrase", "regex", "range", "(", ")", "+", "-", "!", "and", "or", ":", "^", "~", "end"
]

_BLANK = " \t\n\r\f\u3000"
_TERM = re.compile(
    rf"""(?:\\.|\[\d+\](?=[.:\[])|(?!&&|\|\|)[^\\{_BLANK}+\-!():^\[\]"{{}}~*?/]|[*?])"""
    rf"""(?:\\.|\[\d+\](?=[.:\[])|(?!&&|\|\|)[^\\{_BLANK}!():^\[\]"{{}}~*?/]|[*?])*""",
    re.DOTALL,
)
_PHRASE = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_REGEX = re.compile(r"/((?:\\.|[^/\\])*)/", re.DOTALL)
_END = rf'(?:"(?:\\.|[^"\\])*"|(?:\\.|[^\\\]}}"{_BLANK}])+)'
_RANGE = re.compile(rf"([\[{{])[{_BLANK}]*({_END})[{_BLANK}]+TO[{_BLANK}]+({_END})[{_BLANK}]*([\]}}])", re.DOTALL)
_COMPARED = re.compile(rf"([<>]=?)({_PHRASE.pattern}|[+-]?{_TERM.pattern})", re.DOTALL)
_SUFFIX = re.compile(r"([~^])(\d+(?:\.\d+)?|\.\d+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SIGNS: dict[str, _Kind] = {"(": "(", ")": ")", "+": "+", "-": "-", "!": "!", ":": ":"}
_WORDS: dict[str, _Kind] = {"AND": "and", "OR": "or", "NOT": "!"}


@dataclass(slots=True)
class _Token:
    kind: _Kind
    text: str
    start: int
    parts: tuple[str, ...] = ()


@lru_cache(maxsize=512)
def parse_query(text: str, default_field: str | None = None) -> ast.Query:
    """The AST of a query string; unfielded terms search `default_field`, or any field. Raises InvalidQuery (field
    `q`).
    """
    if len(text) > MAX_LENGTH:
        raise InvalidQuery(f"a query string may have {MAX_LENGTH} characters", field="q")
    try:
        return _Parser(text).query(default_field)
    except InvalidQuery as error:
        raise InvalidQuery(error.message, field="q") from None


def _unescape(text: str) -> str:
    if "\\" not in text:
        return clean(text)
    return clean(_ESCAPE.sub(lambda found: _unicode(found[1]) if found[1] else found[2], text))


def _unicode(digits: str) -> str:
    char = chr(int(digits, 16))
    return "\ufffd" if 0xD800 <= ord(char) < 0xE000 else char


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    groups = [False]  # of each open parenthesis, and of the whole: whether a field stands before it
    position = 0
    while position < len(text):
        char = text[position]
        if char in _BLANK:
            position += 1
            continue
        of_field = groups[-1] or (bool(found) and found[-1].kind == ":")
        token = _token(text, position, char, of_field)
        found.append(token)
        if token.kind == "(":
            groups.append(of_field)
        elif token.kind == ")" and len(groups) > 1:
            groups.pop()
        if len(found) > MAX_TOKENS:
            raise InvalidQuery(f"a query may have {MAX_TOKENS} words and signs")
        position = token.start
    found.append(_Token("end", "the end", len(text)))
    return found


def _token(text: str, position: int, char: str, of_field: bool) -> _Token:
    """The token at `position`, after `field:` or within its parentheses; its `start` is where the next may start."""
    if of_field and char in "<>" and (hit := _COMPARED.match(text, position)):
        sign, end = hit[1], hit[2]
        low, high = (end, "*") if sign[0] == ">" else ("*", end)
        inclusive = len(sign) == 2
        opening, closing = "[" if inclusive or sign[0] == "<" else "{", "]" if inclusive or sign[0] == ">" else "}"
        return _Token("range", hit[0], hit.end(), (opening, low, high, closing))
    if text.startswith(("&&", "||"), position):
        return _Token("and" if char == "&" else "or", text[position : position + 2], position + 2)
    if char in _SIGNS:
        return _Token(_SIGNS[char], char, position + 1)
    if char in "~^":
        hit = _SUFFIX.match(text, position)
        assert hit
        return _Token("~" if char == "~" else "^", hit[2] or "", hit.end())
    if char == '"':
        if hit := _PHRASE.match(text, position):
            return _Token("phrase", hit[1], hit.end())
        raise InvalidQuery("an unbalanced quote")
    if char == "/":
        if hit := _REGEX.match(text, position):
            return _Token("regex", hit[1], hit.end())
        raise InvalidQuery("an unbalanced `/`; escape it to mean itself")
    if char in "[{":
        if hit := _RANGE.match(text, position):
            return _Token("range", hit[0], hit.end(), (hit[1], hit[2], hit[3], hit[4]))
        raise InvalidQuery("a bad range; write [low TO high]")
    if hit := _TERM.match(text, position):
        return _Token(_WORDS.get(hit[0], "term"), hit[0], hit.end())
    raise InvalidQuery(f"an unexpected `{char}`")


_Modifier: TypeAlias = Literal["", "+", "-", "not"]
_Operand: TypeAlias = tuple[_Modifier, ast.Query]


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0
        self.clauses = 0

    @property
    def next(self) -> _Kind:
        return self.tokens[self.position].kind

    def take(self) -> _Token:
        token = self.tokens[self.position]
        self.position += token.kind != "end"
        return token

    def query(self, field: str | None) -> ast.Query:
        query = self.group(field, 0)
        if self.next != "end":
            raise InvalidQuery(f"an unexpected `{self.take().text}`")
        return query

    def group(self, field: str | None, depth: int) -> ast.Query:
        """OR level: operands side by side or joined by OR."""
        if depth > MAX_DEPTH:
            raise InvalidQuery("parentheses are nested too deeply")
        operands: list[_Operand] = []
        joined: list[bool] = [False]
        while True:
            operands.append(self.conjunction(field, depth))
            if self.next == "or":
                self.take()
                joined.append(True)
            elif self.next in ("end", ")"):
                joined.append(False)
                return _combine(operands, joined)
            else:
                joined.append(False)

    def conjunction(self, field: str | None, depth: int) -> _Operand:
        """AND level: one operand, or several joined by AND."""
        operands = [self.operand(field, depth)]
        while self.next == "and":
            self.take()
            operands.append(self.operand(field, depth))
        if len(operands) == 1:
            return operands[0]
        must = tuple(query for sign, query in operands if sign in ("", "+"))
        must_not = tuple(query for sign, query in operands if sign in ("-", "not"))
        together = ast.Bool(must=must, must_not=must_not)
        return ("+" if any(sign == "+" for sign, _ in operands) else "", together)

    def operand(self, field: str | None, depth: int) -> _Operand:
        sign: _Modifier = ""
        if self.next == "!":
            self.take()
            sign = "not"
            while self.next == "!":
                self.take()
                sign = "" if sign else "not"
        if self.next in ("+", "-"):
            plus = self.take().kind == "+"
            sign = ("not" if plus else "") if sign else "+" if plus else "-"
        return sign, self.clause(field, depth)

    def clause(self, field: str | None, depth: int) -> ast.Query:
        self.clauses += 1
        if self.clauses > MAX_CLAUSES:
            raise InvalidQuery(f"a query may have {MAX_CLAUSES} clauses")
        token = self.take()
        if token.kind == "term" and self.next == ":":
            self.take()
            name = _unescape(token.text)
            if name != token.text and not name:
                raise InvalidQuery("an empty field name")
            if token.text != "*" and _is_pattern(token.text):
                raise InvalidQuery(f"a field name without wildcards is expected, not `{token.text}`")
            field = None if token.text == "*" else name
            token = self.take()
        match token.kind:
            case "(":
                query = self.group(field, depth + 1)
                if self.take().kind != ")":
                    raise InvalidQuery("an unbalanced `(`")
                self.suffixes(fuzzy=False)
                return query
            case "term":
                fuzzy = self.suffixes(fuzzy=True)
                return _term(field, token.text, fuzzy)
            case "phrase":
                slop = self.suffixes(fuzzy=True)
                return ast.Words(field, _unescape(token.text), int(min(float(slop or "0"), 1_000)))
            case "regex":
                self.suffixes(fuzzy=False)
                pattern = lucene_regex(clean(token.text.replace("\\/", "/")))
                return ast.Match(field, pattern, pattern)
            case "range":
                self.suffixes(fuzzy=False)
                return _range(field, token.parts)
            case "end":
                raise InvalidQuery("the query ends too early")
            case _:
                raise InvalidQuery(f"an unexpected `{token.text or token.kind}`")

    def suffixes(self, *, fuzzy: bool) -> str | None:
        """Reads `~n` and `^n` in any order, once each; the text after `~`, or None without one."""
        found: dict[str, str] = {}
        while self.next in ("~", "^"):
            token = self.take()
            if token.kind in found or (token.kind == "~" and not fuzzy) or (token.kind == "^" and not token.text):
                raise InvalidQuery(f"an unexpected `{token.kind}`")
            found[token.kind] = token.text
        return found.get("~")


def _is_pattern(raw: str) -> bool:
    return any(sign in _ESCAPE.sub("", raw) for sign in "*?")


def _term(field: str | None, raw: str, fuzzy: str | None) -> ast.Query:
    if raw == "*":
        return ast.ALL if field is None else ast.Exists(field)
    if not _is_pattern(raw):
        text = _unescape(raw)
        return ast.Words(field, text) if fuzzy is None else ast.Fuzzy(field, text, _edits(fuzzy, text))
    if raw[0] in "*?":
        raise InvalidQuery(f"`{raw}`: a pattern may not start with `{raw[0]}`")
    # Escapes are resolved but for those that keep a character from being a wildcard.
    plain = clean(_ESCAPE.sub(lambda hit: _keep(_unicode(hit[1]) if hit[1] else hit[2]), raw))
    return ast.Match(field, wildcard(plain), wildcard(plain.lower()))


def _keep(char: str) -> str:
    return f"\\{char}" if char in "*?\\" else char


def _edits(text: str, term: str) -> int:
    """`~` alone is 2 edits, `~1` one; a fraction is Lucene's old similarity."""
    value = min(float(text or "2"), 2)
    return min(int(value if value >= 1 else (1 - value) * len(term)) if value else 0, 2)


def _range(field: str | None, parts: tuple[str, ...]) -> ast.Query:
    opening, low, high, closing = parts
    ends = tuple(None if end == "*" else _unescape(end[1:-1] if end[0] == '"' else end) for end in (low, high))
    if field is not None and ends == (None, None):
        return ast.Exists(field)
    if ends == (None, None):
        return ast.ALL
    return ast.Range(field, ends[0], ends[1], opening == "[", closing == "]")


def _combine(operands: list[_Operand], joined: list[bool]) -> ast.Query:
    must: list[ast.Query] = []
    should: list[ast.Query] = []
    must_not: list[ast.Query] = []
    for position, (sign, query) in enumerate(operands):
        if sign == "+":
            must.append(query)
        elif sign == "":
            should.append(query)
        elif sign == "not" and (joined[position] or joined[position + 1]):
            should.append(ast.Bool(must_not=(query,)))
        else:
            must_not.append(query)
    if len(operands) == 1 and not must_not:
        return operands[0][1]
    return ast.Bool(tuple(must), tuple(should), tuple(must_not), 1 if should and not must else 0)
