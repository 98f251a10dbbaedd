r"""Texts of `.properties` files, as Java reads and writes them (objects.md 16). Pure.

Promises: what `dump` writes, `parse` and Java read back the same; `parse` takes any text, as Java does (a `\u` without
four hex digits, which Java refuses, stands for itself). UTF-8, or else Latin-1.
"""

import re
from collections.abc import Mapping
from typing import Final

_ESCAPED: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPES: Final = {text: "\\" + sign for sign, text in _ESCAPED.items()} | {c: "\\" + c for c in "\\=:#!"}
_LINE = re.compile(r"\r\n|\n|\r")
_ENTRY = re.compile(r"((?:[^\\=: \t\f]|\\.)*)[ \t\f]*(?:[=:][ \t\f]*)?(.*)", re.DOTALL)
_SIGN = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.)|$)", re.DOTALL)
_OUTSIDE = re.compile(r"[\\=:#!\t\n\r\f]|[^\x20-\x7e]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ALONE = re.compile("[\ud800-\udfff]")


def parse(data: bytes) -> dict[str, str]:
    """The entries of a file; of equal keys the last counts."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    entries: dict[str, str] = {}
    for line in _logical(text):
        found = _ENTRY.fullmatch(line)
        if found is not None:
            entries[_plain(found[1])] = _plain(found[2])
    return entries


def _logical(text: str) -> list[str]:
    """Lines without comments and blank ones; one that ends in an odd number of backslashes goes on in the next."""
    lines: list[str] = []
    begun: str | None = None
    for natural in _LINE.split(text):
        line = natural.lstrip(" \t\f")
        if begun is None and (not line or line[0] in "#!"):
            continue
        whole = (begun or "") + line
        if (len(line) - len(line.rstrip("\\"))) % 2:
            begun = whole[:-1]
            continue
        lines.append(whole)
        begun = None
    return lines if begun is None else [*lines, begun]


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    units = _SIGN.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPED.get(m[2] or "", m[2] or ""), text)
    paired = _PAIR.sub(lambda m: m[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), units)
    return _ALONE.sub("\ufffd", paired)


def dump(entries: Mapping[str, str]) -> bytes:
    """A file of these entries, in order of their keys, in ASCII."""
    lines = [f"{_escaped(key).replace(' ', chr(92) + ' ')}={_value(text)}\n" for key, text in sorted(entries.items())]
    return "".join(lines).encode("ascii")


def _value(text: str) -> str:
    escaped = _escaped(text)
    return "\\" + escaped if escaped.startswith(" ") else escaped


def _escaped(text: str) -> str:
    return _OUTSIDE.sub(lambda m: _ESCAPES.get(m[0]) or _units(m[0]), text)


def _units(char: str) -> str:
    data = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[n]:02x}{data[n + 1]:02x}" for n in range(0, len(data), 2))
