"""What of an object is searchable, and how texts and numbers compare (objects.md 6.5).

Promises: the one definition of field paths, keyword fields, tokens, text forms and number order, used by the
predicate, by sorting and by every engine, so that they cannot differ. Numbers compare as IEEE doubles (true is 1,
false 0). Does not decide which members an object shows to the index: that is `Object.searchable()`.
"""

import re
import struct
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from thingstead.model.values import Json, JsonObject, is_array, is_object

Scalar: TypeAlias = str | int | float | bool
Flat: TypeAlias = dict[str, list[Scalar]]
"""Field path -> its values, in order."""

KEYWORDS = frozenset(
    (
        *("id", "type", "appid", "name", "parentid", "creatorid", "timestamp", "updated", "votes", "tags", "tag"),
        *("email", "groups", "identifier", "password", "token", "key", "latlng", "nstd", "nstdparentid"),
    )
)
NEVER_INDEXED = frozenset(
    ["settings", "datatypes", "resourcePermissions", "validationConstraints", "deviceState", "deviceMetadata"]
)
DOCID = "_docid"
"""The hidden field that every order falls back to (6.7)."""

SEPARATOR = "\x1f"
"""Never inside an indexed value, path or query text (it becomes U+FFFD), so engines may glue with it."""

MAX_VALUES = 10_000
"""Leaf values of one top-level member that are indexed; further ones are not searchable."""

MAX_WHOLE = 8_000
"""Characters of a value up to which it is known as a whole; of longer ones only the tokens are known."""

MAX_PATH = 1_000
"""Characters of a field path; members with longer ones are not searchable."""

_MARKS = "".join(
    chr(code)
    for code in (*range(0x300, 0x3100), 0x200C, 0x200D, *range(0xFE00, 0xFE30))
    if unicodedata.category(chr(code)) in ("Mn", "Mc", "Cf")
)
_SINGLE = "\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = rf"(?:[^\W{_SINGLE}]|[{_MARKS}])"
# UAX 29 in short: ideographs stand alone; . and ' join letters, . , ; ' join digits; the underscore is a word
# character.
_TOKEN = re.compile(
    rf"[{_SINGLE}][{_MARKS}]*|[^\W{_SINGLE}]{_WORD}*"
    rf"(?:(?:(?<=\d)[.,;'’](?=\d)|(?<=[^\W\d_])['’.·](?=[^\W\d_{_SINGLE}])){_WORD}+)*"
)
_ASCII_TOKEN = re.compile(r"\w+(?:(?:(?<=\d)[.,;'](?=\d)|(?<=[a-z])['.](?=[a-z]))\w+)*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?", re.ASCII)


def tokens(text: str) -> list[str]:
    """The lowercased words of a text, in order."""
    lowered = text.lower()
    found: list[str] = (_ASCII_TOKEN if lowered.isascii() else _TOKEN).findall(lowered)
    return [token for token in found if len(token) <= MAX_WHOLE] if len(text) > MAX_WHOLE else found


@lru_cache(maxsize=4096)
def is_keyword(path: str) -> bool:
    """True for fields that are compared raw, as a whole (also their list positions: `tags[0]`)."""
    return path.partition("[")[0] in KEYWORDS and "." not in path


_HALVES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without the separator character and halves of surrogate pairs, which no document holds."""
    text = text.replace(SEPARATOR, "\ufffd") if SEPARATOR in text else text
    return text if text.isascii() else _HALVES.sub("\ufffd", text)


def text_of(value: Scalar) -> str:
    """The text form of a value: `5`, `4.5`, `true`; integral floats without a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


@lru_cache(maxsize=4096)
def number(text: str) -> float | None:
    """The number that a query text denotes, or None."""
    return float(text) if _NUMBER.fullmatch(text) else None


def number_of(value: Scalar) -> float | None:
    """The number that a stored value is, or None for texts: a numeric string is a text."""
    return None if isinstance(value, str) else float(value)


def sortable(value: float) -> int:
    """A signed 64-bit integer in the order of the doubles (both zeros alike)."""
    bits: int = struct.unpack(">q", struct.pack(">d", value + 0.0))[0]
    return bits if bits >= 0 else bits ^ 0x7FFF_FFFF_FFFF_FFFF


def unsortable(bits: int) -> float:
    """The double of `sortable`."""
    value: float = struct.unpack(">d", struct.pack(">q", bits if bits >= 0 else bits ^ 0x7FFF_FFFF_FFFF_FFFF))[0]
    return value


def flatten(fields: JsonObject) -> Flat:
    """The searchable form of an object as path -> values. Nested objects join with dots; list elements stand under the
    list's own name and by position (`properties.pets.name`, `properties.pets[1].name`); null is absent."""
    flat: Flat = {}
    for name, value in fields.items():
        if name in NEVER_INDEXED:
            continue
        path = clean(name)
        if type(value) in _SCALARS:
            _add(flat, path, value)  # type: ignore[arg-type]
        elif is_object(value) and len(value) < MAX_VALUES:
            left = MAX_VALUES
            prefix = path + "."
            for inner, member in value.items():  # most values stand here, one below `properties`
                path = prefix + clean(inner)
                if type(member) in _SCALARS:
                    _add(flat, path, member)  # type: ignore[arg-type]
                    left -= 1
                elif left > 0:
                    left = _flatten((path,), member, flat, left)
        else:
            _flatten((path,), value, flat, MAX_VALUES)
    return flat


_SCALARS = frozenset((str, int, float, bool))


def _add(flat: Flat, path: str, value: Scalar) -> None:
    if len(path) <= MAX_PATH:
        kept = clean(value) if isinstance(value, str) else value
        if path in flat:
            flat[path].append(kept)
        else:
            flat[path] = [kept]


def members_at(fields: JsonObject, paths: Sequence[str]) -> JsonObject:
    """The top-level members that hold these paths: enough to flatten for whoever wants only them."""
    starts = {path: (f"{path}.", f"{path}[") for path in fields}
    return {name: fields[name] for name, ends in starts.items() if any(p == name or p.startswith(ends) for p in paths)}


def _flatten(paths: Sequence[str], value: Json, flat: Flat, left: int) -> int:
    # The last path has a position at every list passed so far, the ones before it only at the outer lists, the first
    # none.
    if type(value) in _SCALARS:
        for path in paths:
            _add(flat, path, value)  # type: ignore[arg-type]
        return left - len(paths)
    if is_object(value):
        for name, member in value.items():
            if left <= 0:
                break
            left = _flatten([f"{path}.{clean(name)}" for path in paths], member, flat, left)
    elif is_array(value):
        for position, element in enumerate(value):
            if left <= 0:
                break
            left = _flatten([*paths, f"{paths[-1]}[{position}]"], element, flat, left)
    return left
