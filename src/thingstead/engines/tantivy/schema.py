"""How a document lies in tantivy: the schema, and the terms of an object.

One text field `t` holds everything that is matched, as exact terms made here (tokens from `model.query.fields`,
tantivy's own tokenizers are not used, so index and predicate cannot differ). A term is value, separator, kind and
path, value first: so a fielded term is one term, an unfielded one a short run of neighbours, and no field name costs
a schema entry. `n` holds numbers for ranges and sorting, in one 64-bit order per path. `doc` keeps the searchable
form, to re-check and sort by.

Two things keep a document cheap, for terms are most of what indexing costs. A long whole value stands as its beginning
and a digest. And one term, PLAIN, stands for all terms of an envelope that nobody has touched (`plain_terms`).
"""

from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson
from tantivy import Schema, SchemaBuilder

from thingstead.model.query.fields import MAX_WHOLE, SEPARATOR, clean, flatten, is_keyword, sortable, text_of, tokens
from thingstead.model.query.predicate import point
from thingstead.model.values import Json, JsonObject
from thingstead.ports.index import Document

FORMAT = 5
"""Raise it when the schema or the terms change: indexes of another format are rebuilt."""

KEYWORD = SEPARATOR + "K"
"""Kind: a whole raw value of a keyword field."""
WHOLE = SEPARATOR + "W"
"""Kind: a whole raw value of a text field, if it is not also a token of itself."""
TOKEN = SEPARATOR + "T"
"""Kind: a token of a text field."""
ONE_NUMBER = SEPARATOR + "N"
"""Kind, without a value: the path holds exactly one number, which is in `n`."""
NOT_ONE_NUMBER = SEPARATOR + "X"
"""Kind, without a value: the path holds anything else. Also stands before each value, so that no phrase crosses two."""
PRESENT = (ONE_NUMBER, NOT_ONE_NUMBER)
LONG = SEPARATOR + "L"
"""Kind, without a value: the path holds a long value. Inside a term: a digest follows, in place of the rest of it."""
LONG_KEYWORD = SEPARATOR + "M"
"""A whole term: some keyword field holds a long value."""
PLAIN = SEPARATOR + "P"
"""A whole term: the object holds all of `plain_terms`, which are not written."""


class Column(NamedTuple):
    """A column of its own for a field that hits are often sorted by."""

    name: str
    absent: str  # a whole term: the object has no place in the column
    kind: int  # of its sort keys


COLUMNS: Final[Mapping[str, Column]] = MappingProxyType(
    {"timestamp": Column("time", SEPARATOR + "U", 1), "name": Column("name", SEPARATOR + "V", 2)}
)
_NAME_CHARS = 200

WHOLE_CHARS = 48
"""Characters up to which a whole value is a term as it is: long unique terms cost most of all."""
KEPT_CHARS = 24
"""Characters of a longer value that its term begins with, so that prefixes up to this are found without re-checking."""

_EXACT = 2**53  # numbers compare as doubles
_DEFAULTS: Final[Mapping[str, Json]] = MappingProxyType(
    {"votes": 0, "version": 0, "stored": True, "indexed": True, "cached": True}
)
LAT, LNG = SEPARATOR + "lat", SEPARATOR + "lng"


def schema() -> Schema:
    """The schema; the same for every index of one FORMAT."""
    return (
        SchemaBuilder()
        .add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
        .add_text_field("scope", tokenizer_name="raw", index_option="basic")
        .add_integer_field("docid", indexed=True, fast=True)
        .add_integer_field("time", fast=True)
        .add_text_field("name", fast=True, tokenizer_name="raw", index_option="basic")
        .add_text_field("t", tokenizer_name="raw", index_option="position")
        .add_json_field("n", fast=True, tokenizer_name="raw", index_option="basic")
        .add_bytes_field("doc", stored=True)
        .build()
    )


def key(app: str, id: str) -> str:
    """The unique term of an object."""
    return f"{clean(app)}{SEPARATOR}{id}"


def id_of(key_term: str) -> str:
    """The object's id in its unique term."""
    return key_term.partition(SEPARATOR)[2]


def scope(app: str, type: str | None) -> str:
    """The term that all objects of an app, or of one type of it, share."""
    return clean(app) if type is None else f"{clean(app)}{SEPARATOR}{clean(type)}"


@lru_cache(maxsize=4096)
def member(path: str) -> str:
    """The member of `n` for a path: letters, digits and underscores only."""
    return "p" + "".join(char if char.isascii() and char.isalnum() else f"_{ord(char):x}_" for char in path)


def held(path: str, value: str | int) -> str:
    """The term of a keyword field's value, as a column gives it."""
    return whole(str(value)) + KEYWORD + path


def whole(text: str) -> str:
    """How a whole value stands in its term, before the kind."""
    if len(text) <= WHOLE_CHARS:
        return text
    return text[:KEPT_CHARS] + LONG + b64encode(blake2b(text.encode(), digest_size=12).digest()).decode()


@lru_cache(maxsize=1024)
def plain_terms(app: str) -> frozenset[str]:
    """The terms of an envelope as most objects have it: in their app, never voted for, locked or hidden."""
    terms, _ = _terms({"appid": app, **_DEFAULTS})
    return frozenset(terms)


def _is_plain(app: str, fields: Mapping[str, Json]) -> bool:
    if fields.get("appid") != app:
        return False
    for name, usual in _DEFAULTS.items():
        value = fields.get(name)
        if value != usual or type(value) is not type(usual):
            return False
    return True


def _terms(fields: JsonObject) -> tuple[list[str], dict[str, Json]]:
    """The terms of `t` and the members of `n`."""
    terms: list[str] = []
    numbers: dict[str, Json] = {}
    for path, values in flatten(fields).items():
        keyword = is_keyword(path)
        alone = len(values) == 1 and not isinstance(values[0], (str, bool))
        mark = (ONE_NUMBER if alone else NOT_ONE_NUMBER) + path
        found: list[Json] = []
        for value in values:
            terms.append(mark)
            text = value if isinstance(value, str) else text_of(value)
            if keyword:
                words = None
            else:
                words = tokens(text)
                end = TOKEN + path
                terms += [word + end for word in words]
            size = len(text)
            if size <= WHOLE_CHARS:
                if words is None:
                    terms.append(text + KEYWORD + path)
                elif text not in words:
                    terms.append(text + WHOLE + path)
            elif size <= MAX_WHOLE:
                terms.append(whole(text) + (KEYWORD if words is None else WHOLE) + path)
                terms.append(LONG + path)
                if words is None:
                    terms.append(LONG_KEYWORD)
            if not isinstance(value, (str, bool)):
                found.append(sortable(float(value)))
            elif path == "latlng" and (place := point(text)) is not None:
                for name, degrees in zip((LAT, LNG), place, strict=True):
                    numbers.setdefault(member(name), []).append(sortable(degrees))  # type: ignore[union-attr]
        if found:
            numbers[member(path)] = found[0] if len(found) == 1 else found
    return terms, numbers


_DEFAULT_NUMBERS: Final[Mapping[str, Json]] = MappingProxyType(_terms(dict(_DEFAULTS))[1])


def encode(document: Document) -> str:
    """The document as tantivy's JSON."""
    fields = document.fields
    if _is_plain(document.app, fields):
        fields = fields.copy()
        for name in ("appid", *_DEFAULTS):
            del fields[name]
        terms, numbers = _terms(fields)
        terms.append(PLAIN)
        numbers.update(_DEFAULT_NUMBERS)
    else:
        terms, numbers = _terms(fields)
    time, name = fields.get("timestamp"), fields.get("name")
    timed = type(time) is int and abs(time) <= _EXACT
    if not timed:
        terms.append(COLUMNS["timestamp"].absent)
    named = isinstance(name, str) and 0 < len(name) <= _NAME_CHARS and SEPARATOR not in name
    if not named:
        terms.append(COLUMNS["name"].absent)
    members: dict[str, Json] = {
        "key": key(document.app, document.id),
        "scope": [scope(document.app, None), scope(document.app, document.type)],
        "docid": document.docid,
        "t": terms,  # type: ignore[dict-item]
        "n": numbers,
        "doc": b64encode(orjson.dumps(document.fields)).decode(),
    }
    if timed:
        members["time"] = time
    if named:
        members["name"] = name
    return orjson.dumps(members).decode()
