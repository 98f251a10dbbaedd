r"""Regular expressions in Java's syntax, matched in linear time (objects.md 11.2 `pattern`; identity.md 17).

Promises: a pattern means here what `String.matches` of Java means by it, or it is refused; no pattern and no text makes
a match take more than about MAX_WORK steps of RE2, whose time grows with the product of both and never faster. Refused
is what needs backtracking (look-around, back references, possessive quantifiers, atomic groups) and what RE2 reads in
another way (nested and intersected classes, the flags d, u, x and U). Pure.

Two differences stay: `(?i)` folds all letters, not only ASCII, and `.` excludes no more than a line feed in a pattern
that sets flags.
"""

import re
from functools import lru_cache
from typing import Any, Final

MAX_PATTERN: Final = 512  # characters
MAX_PROGRAM: Final = 100_000  # instructions of RE2
MAX_WORK: Final = 50_000_000  # instructions times bytes: about 0.15 s on the machine that measured it
_MAX_MEMORY: Final = 8 << 20  # bytes of RE2 for one pattern
_KEPT: Final = 32  # compiled patterns

_BREAKS = r"\x{85}\x{2028}\x{2029}"
_VERTICAL = r"\n\x0B\f\r" + _BREAKS
_BLANK = r" \t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}"
_SPACE = r" \t\n\x0B\f\r"
_DOT = r"[^\n\r" + _BREAKS + "]"

_CLASSES: Final = {"h": _BLANK, "v": _VERTICAL, "s": _SPACE}  # escapes that stand for members of a class
_POSIX: Final = {
    name.capitalize(): name for name in ("lower", "upper", "alpha", "digit", "alnum", "punct", "graph", "print")
} | {"Blank": "blank", "Cntrl": "cntrl", "XDigit": "xdigit", "Space": "space", "ASCII": "ascii"}
_SAME: Final = frozenset("dDwWbBAztnrfa")  # escapes that RE2 reads as Java does
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(-[a-zA-Z]*)?[:)]")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_HEX = re.compile(r"\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2})")
_OCTAL = re.compile(r"[0-3][0-7]{0,2}|[0-7]{1,2}")
_PROPERTY = re.compile(r"\{(\^?)([A-Za-z_]+)\}|([A-Z])")


class UnusablePattern(ValueError):
    """A pattern that cannot be used; its text says why."""


def check(pattern: str) -> None:
    """Raises UnusablePattern."""
    _compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches the whole text; False where it cannot be used, or the text is too long for it."""
    try:
        compiled = _compiled(pattern)
        data = text.encode()
    except (UnusablePattern, UnicodeEncodeError):
        return False
    return len(data) * compiled.programsize <= MAX_WORK and compiled.fullmatch(data) is not None


@lru_cache(_KEPT)
def _compiled(pattern: str) -> Any:
    import re2  # costs time and memory, and few apps have patterns

    if len(pattern) > MAX_PATTERN:
        raise UnusablePattern(f"it is longer than {MAX_PATTERN} characters")
    options: Any = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_MEMORY
    try:
        compiled: Any = re2.compile(translated(pattern).encode(), options)
    except re2.error as error:  # pyright: ignore[reportUnknownVariableType]
        raise UnusablePattern(_reason(error)) from None  # pyright: ignore[reportUnknownArgumentType]
    except UnicodeEncodeError:
        raise UnusablePattern("it is not Unicode") from None
    if compiled.programsize > MAX_PROGRAM:
        raise UnusablePattern("it is too large")
    return compiled


def _reason(error: Exception) -> str:
    told: object = error.args[0] if error.args else ""
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)


def translated(pattern: str) -> str:
    r"""The pattern in RE2's syntax. Raises UnusablePattern for what RE2 would read in another way.

    >>> translated(r"\u00e9\Q.\E[\h]")
    '\\x{00e9}\\.[ \\t\\x{A0}\\x{1680}\\x{180E}\\x{2000}-\\x{200A}\\x{202F}\\x{205F}\\x{3000}]'
    """
    return _Translation(pattern).text()


class _Translation:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._out: list[str] = []
        flags = "".join(on + (off or "") for on, off in _FLAGS.findall(pattern))
        for flag in flags:
            if flag not in "ims-":
                raise UnusablePattern(f"the flag {flag} is not supported")
        self._dot = "." if "s" in flags else _DOT

    def text(self) -> str:
        """The whole pattern."""
        while self._at < len(self._pattern):
            char = self._next()
            if char == "\\":
                self._escape(inside=False)
            elif char == "[":
                self._class()
            else:
                self._out.append(self._dot if char == "." else char)
        return "".join(self._out)

    def _next(self) -> str:
        char = self._pattern[self._at : self._at + 1]
        self._at += 1
        return char

    def _take(self, form: re.Pattern[str]) -> re.Match[str] | None:
        found = form.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _class(self) -> None:
        """From after `[` to its `]`."""
        self._out.append("[")
        if self._pattern.startswith("^", self._at):
            self._out.append(self._next())
        first = True
        while self._at < len(self._pattern):
            char = self._next()
            if char == "]" and not first:
                self._out.append("]")
                return
            if char == "[" or (char == "&" and self._pattern.startswith("&", self._at)):
                raise UnusablePattern("nested and intersected classes are not supported; write \\[ or \\& for the sign")
            if char == "\\":
                self._escape(inside=True)
            else:
                self._out.append("\\]" if char == "]" else char)
            first = False
        raise UnusablePattern("a class is not closed")

    def _escape(self, *, inside: bool) -> None:
        """From after a backslash."""
        char = self._next()
        if char in _CLASSES:
            self._out.append(_CLASSES[char] if inside else f"[{_CLASSES[char]}]")
        elif char.lower() in _CLASSES and not inside:
            self._out.append(f"[^{_CLASSES[char.lower()]}]")
        elif char in ("p", "P"):
            self._property(inside=inside, negated=char == "P")
        elif char == "Q":
            end = self._pattern.find("\\E", self._at)
            quoted = self._pattern[self._at : end if end >= 0 else None]
            self._at = end + 2 if end >= 0 else len(self._pattern)
            self._out.extend(map(_literal, quoted))
        elif char == "R" and not inside:
            self._out.append(rf"(?:\r\n|[{_VERTICAL}])")
        elif char in _SAME and not (inside and char in "bBAz"):
            self._out.append("\\" + char)
        elif char and not char.isalnum():
            self._out.append(_literal(char))
        else:
            code = self._code(char)
            if 0xD800 <= code < 0xE000:
                raise UnusablePattern("half a pair of \\u is no character")
            self._out.append(f"\\x{{{code:04x}}}")

    def _code(self, char: str) -> int:
        """The character that an escape names by number."""
        if char == "e":
            return 0x1B
        if char == "c" and self._at < len(self._pattern):
            return ord(self._next()) ^ 64
        if char == "u" and (found := self._take(_HEX4)):
            return self._joined(int(found[0], 16))
        if char == "x" and (found := self._take(_HEX)):
            return int(found[1] or found[2], 16)
        if char == "0" and (found := self._take(_OCTAL)):
            return int(found[0], 8)
        raise UnusablePattern(f"\\{char} is not supported" if char else "it ends with a backslash")

    def _joined(self, code: int) -> int:
        r"""A code unit, with the one after it if both are a pair: `\ud83d\ude00` is one character."""
        if 0xD800 <= code < 0xDC00 and self._pattern.startswith("\\u", self._at):
            low = _HEX4.match(self._pattern, self._at + 2)
            if low is not None and 0xDC00 <= (unit := int(low[0], 16)) < 0xE000:
                self._at = low.end()
                return 0x10000 + ((code - 0xD800) << 10) + unit - 0xDC00
        return code

    def _property(self, *, inside: bool, negated: bool) -> None:
        found = self._take(_PROPERTY)
        if found is None:
            raise UnusablePattern("a property has no name")
        name = found[2] or found[3]
        negated ^= bool(found[1])
        if name in _POSIX:
            member = f"[:{'^' if negated else ''}{_POSIX[name]}:]"
            self._out.append(member if inside else f"[{member}]")
        else:
            self._out.append(f"\\{'P' if negated else 'p'}{{{name.removeprefix('Is')}}}")


def _literal(char: str) -> str:
    if char.isalnum() or ord(char) >= 128 or char == "_":
        return char
    return "\\" + char if char > " " else f"\\x{ord(char):02x}"
