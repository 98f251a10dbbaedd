"""Wildcards and Lucene regular expressions as one small pattern type.

Promises: matching takes time proportional to the text, whatever the pattern (a lazily built automaton, no
backtracking), so a stranger's pattern cannot stall the server; sizes are bounded. `rust()` gives the same language in
the syntax of the Rust `regex` crate, for engines that take it. Does not support Lucene's `~`, `&` and `<1-9>`
operators (refused by name).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from thingstead.model.errors import InvalidQuery

_MAX_STATES = 2_000
_MAX_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class Chars:
    """One character inside (or, negated, outside) the ranges of code points, ends included."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def holds(self, code: int) -> bool:
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Node"
    low: int
    high: int | None


Node: TypeAlias = Chars | Sequence | Choice | Repeat
ANY = Chars((), negated=True)
ANYTHING = Repeat(ANY, 0, None)
_DIGIT = ((48, 57),)
_WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE = ((9, 13), (32, 32))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern over whole texts. `prefix` is the literal text that every match starts with (maybe empty)."""

    node: Node
    prefix: str = ""
    _test: Callable[[str], bool] | None = field(default=None, compare=False, repr=False, hash=False)

    @property
    def open_prefix(self) -> bool:
        """True if everything fits that starts with `prefix`."""
        node = self.node
        return isinstance(node, Sequence) and len(node.parts) == len(self.prefix) + 1 and node.parts[-1] is ANYTHING

    def matches(self, text: str) -> bool:
        """True if the whole text fits."""
        return (self._test or _automaton(self.node))(text)

    def rust(self, outside: str = "") -> str:
        """The pattern for the Rust regex crate; its open classes never match the characters of `outside`."""
        return _rust(self.node, tuple((ord(char), ord(char)) for char in outside))


def literal(text: str) -> Pattern:
    """Just that text."""
    return Pattern(Sequence(tuple(map(_char, text))), text, text.__eq__)


def literal_prefix(text: str) -> Pattern:
    """Everything that starts with `text`."""
    return Pattern(Sequence((*map(_char, text), ANYTHING)), text, lambda value: value.startswith(text))


def wildcard(text: str) -> Pattern:
    r"""`*` any run, `?` one character, `\` escapes the next. Raises InvalidQuery when too long."""
    if len(text) > _MAX_LENGTH:
        raise InvalidQuery(f"a pattern may have {_MAX_LENGTH} characters")
    parts: list[Node] = []
    prefix: list[str] = []
    open_start = True
    position = 0
    while position < len(text):
        char = text[position]
        if char == "*":
            if not parts or parts[-1] is not ANYTHING:
                parts.append(ANYTHING)
            open_start = False
        elif char == "?":
            parts.append(ANY)
            open_start = False
        else:
            if char == "\\" and position + 1 < len(text):
                position += 1
                char = text[position]
            parts.append(_char(char))
            if open_start:
                prefix.append(char)
        position += 1
    start = "".join(prefix)
    if len(parts) == len(prefix) + 1 and parts[-1] is ANYTHING:
        return literal_prefix(start)
    return Pattern(Sequence(tuple(parts)), start)


def lucene_regex(text: str) -> Pattern:
    """A regular expression in Lucene's syntax, without the slashes. Raises InvalidQuery."""
    if len(text) > _MAX_LENGTH:
        raise InvalidQuery(f"a regular expression may have {_MAX_LENGTH} characters")
    reader = _Regex(text)
    node = reader.choice(0)
    if reader.position != len(text):
        raise InvalidQuery(f"unbalanced `)` in /{text}/")
    if _size(node) > _MAX_STATES:
        raise InvalidQuery(f"the regular expression /{text}/ is too large")
    return Pattern(node)


def _char(char: str) -> Chars:
    code = ord(char)
    return Chars(((code, code),))


class _Regex:
    """Recursive descent over the expression; depth is bounded."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def peek(self) -> str:
        return self.text[self.position] if self.position < len(self.text) else ""

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise InvalidQuery(f"the regular expression /{self.text}/ ends too early")
        self.position += 1
        return char

    def choice(self, depth: int) -> Node:
        if depth > 50:
            raise InvalidQuery(f"the regular expression /{self.text}/ is nested too deeply")
        parts = [self.sequence(depth)]
        while self.peek() == "|":
            self.take()
            parts.append(self.sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeat(depth))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeat(self, depth: int) -> Node:
        node = self.atom(depth)
        while self.peek() and self.peek() in "?*+{":
            sign = self.take()
            low, high = {"?": (0, 1), "*": (0, None), "+": (1, None)}.get(sign) or self.counts()
            node = Repeat(node, low, high)
            if _size(node) > _MAX_STATES:
                raise InvalidQuery(f"the regular expression /{self.text}/ is too large")
        return node

    def counts(self) -> tuple[int, int | None]:
        end = self.text.find("}", self.position)
        low, comma, high = self.text[self.position : end].partition(",") if end >= 0 else ("", "", "")
        if not low.isdecimal() or len(low) > 4 or (high and (not high.isdecimal() or len(high) > 4)):
            raise InvalidQuery(f"a bad repetition in /{self.text}/")
        self.position = end + 1
        top = int(high) if high else None if comma else int(low)
        if top is not None and top < int(low):
            raise InvalidQuery(f"a bad repetition in /{self.text}/")
        return int(low), top

    def atom(self, depth: int) -> Node:
        char = self.take()
        match char:
            case "(":
                node = Sequence(()) if self.peek() == ")" else self.choice(depth + 1)
                if self.take() != ")":
                    raise InvalidQuery(f"unbalanced `(` in /{self.text}/")
                return node
            case "[":
                return self.charset()
            case ".":
                return ANY
            case "@":
                return ANYTHING
            case "#":
                return Chars(())
            case '"':
                end = self.text.find('"', self.position)
                if end < 0:
                    raise InvalidQuery(f"an unbalanced quote in /{self.text}/")
                quoted, self.position = self.text[self.position : end], end + 1
                return Sequence(tuple(map(_char, quoted)))
            case "\\":
                return self.escape()
            case "?" | "*" | "+" | "{" | "}" | "]":
                raise InvalidQuery(f"a dangling `{char}` in /{self.text}/")
            case "~" | "&" | "<" | ">":
                raise InvalidQuery(f"the operator `{char}` is not supported in /{self.text}/; escape it to mean itself")
            case _:
                return _char(char)

    def escape(self) -> Chars:
        char = self.take()
        ranges = _CLASSES.get(char.lower())
        return Chars(ranges, negated=char.isupper()) if ranges else _char(char)

    def charset(self) -> Chars:
        negated = self.peek() == "^"
        if negated:
            self.take()
        ranges: list[tuple[int, int]] = []
        while (char := self.take()) != "]" or not ranges:
            low = self.member(char, ranges)
            if low is None:
                continue
            high = low
            if self.peek() == "-" and self.text[self.position + 1 : self.position + 2] not in ("", "]"):
                self.take()
                end = self.take()
                high = ord(self.take() if end == "\\" else end)
            if high < low:
                raise InvalidQuery(f"a bad character range in /{self.text}/")
            ranges.append((low, high))
        return Chars(tuple(ranges), negated)

    def member(self, char: str, ranges: list[tuple[int, int]]) -> int | None:
        if char != "\\":
            return ord(char)
        escaped = self.take()
        if escaped in _CLASSES:
            ranges.extend(_CLASSES[escaped])
            return None
        return ord(escaped)


def _size(node: Node) -> int:
    """How many automaton states the node takes, at most."""
    match node:
        case Chars():
            return 1
        case Sequence(parts) | Choice(parts):
            return 1 + sum(map(_size, parts))
        case Repeat(part, low, high):
            return 1 + _size(part) * max(low + 1, high or 0)


_Step: TypeAlias = tuple[Chars | None, list[int]]


def _build(node: Node, steps: list[_Step], after: int) -> int:
    """Append the states of `node` (Thompson), which lead on to state `after`; returns the entry state."""
    match node:
        case Chars():
            steps.append((node, [after]))
        case Sequence(parts):
            for part in reversed(parts):
                after = _build(part, steps, after)
            return after
        case Choice(parts):
            entries = [_build(part, steps, after) for part in parts]
            steps.append((None, entries))
        case Repeat(part, low, high):
            if high is None:
                exits: list[int] = [after]
                steps.append((None, exits))
                after = len(steps) - 1
                exits.append(_build(part, steps, after))
            else:
                end = after
                for _ in range(high - low):
                    entry = _build(part, steps, after)
                    steps.append((None, [entry, end]))
                    after = len(steps) - 1
            for _ in range(low):
                after = _build(part, steps, after)
            return after
    return len(steps) - 1


@lru_cache(maxsize=256)
def _automaton(node: Node) -> Callable[[str], bool]:
    steps: list[_Step] = [(None, [])]
    start = _build(node, steps, 0)

    def closure(seeds: list[int]) -> frozenset[int]:
        seen: set[int] = set()
        while seeds:
            state = seeds.pop()
            if state not in seen:
                seen.add(state)
                if steps[state][0] is None:
                    seeds.extend(steps[state][1])
        return frozenset(state for state in seen if state == 0 or steps[state][0] is not None)

    first = closure([start])
    moves: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(text: str) -> bool:
        states = first
        for char in text:
            key = (states, char)
            following = moves.get(key)
            if following is None:
                code = ord(char)
                reached = [
                    target
                    for state in states
                    if (chars := steps[state][0]) is not None and chars.holds(code)
                    for target in steps[state][1]
                ]
                if len(moves) > 20_000:
                    moves.clear()
                following = moves[key] = closure(reached)
            if not following:
                return False
            states = following
        return 0 in states

    return matches


def _rust(node: Node, outside: tuple[tuple[int, int], ...]) -> str:
    match node:
        case Chars(ranges, negated):
            if negated:
                ranges = (*ranges, *outside)
                return f"[^{''.join(_class(*pair) for pair in ranges)}]" if ranges else r"[\x{0}-\x{10ffff}]"
            if not ranges:
                return r"[^\x{0}-\x{10ffff}]"
            if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
                return _class(*ranges[0])
            return f"[{''.join(_class(*pair) for pair in ranges)}]"
        case Sequence(parts):
            return "".join(_rust(part, outside) for part in parts)
        case Choice(parts):
            return f"(?:{'|'.join(_rust(part, outside) for part in parts)})"
        case Repeat(part, low, high):
            return f"(?:{_rust(part, outside)}){{{low},{'' if high is None else high}}}"


def _class(low: int, high: int) -> str:
    first = chr(low) if chr(low).isalnum() and low < 128 else rf"\x{{{low:x}}}"
    return first if low == high else rf"{first}-\x{{{high:x}}}"
