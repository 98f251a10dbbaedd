"""NGSIv2 values, names, paths and the two forms of an entity (agent.md 7.5, 17.1; doors.md 14-16). Pure.

Names of any door can be attributes: those that NGSI forbids are percent-encoded on the way out. What a client of `/v2`
writes is refused if it breaks the rules of 17.1. Knows nothing of tenants' apps or of storage.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote

import msgspec
from msgspec import UNSET, UnsetType

from thingstead.model.errors import InvalidInput
from thingstead.model.shadow import Attribute
from thingstead.model.values import Json, JsonObject, is_object

MAX_DEPTH: Final = 64
MAX_NAME: Final = 256
MAX_CORRELATOR: Final = 256
DEFAULT_TYPE: Final = "Thing"
TIME_INSTANT: Final = "TimeInstant"
_TIMES: Final = frozenset({"DateTime", "ISO8601"})
_UNRESTRICTED: Final = "TextUnrestricted"
_NAME = re.compile(r"""[^\x00-\x20\x7f-\U0010ffff&?/#<>"'=;()]{1,256}""")
_SAFE: Final = "!$*+,:@[]^`{|}~\\%"  # what `quote` would encode and NGSI allows
_FORBIDDEN_VALUE = re.compile(r"""[<>"'=;()]""")
_ISO = re.compile(r"\d{4}-?\d\d-?\d\d([T ][0-9:.,]+(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9_]{1,50}", re.ASCII)
_PATH = re.compile(r"/|(/[A-Za-z0-9_]{1,50}){1,10}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- time


def instant(value: Json) -> int | None:
    """Microseconds UTC of an ISO 8601 date or date and time; None if it is none. Without an offset it is UTC.

    >>> instant("2024-05-01T10:00:00.5Z"), instant("2024-05-01T10:00:00+02:00"), instant("soon"), instant(5)
    (1714557600500000, 1714550400000000, None, None)
    """
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        delta = (moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def iso(micros: int) -> str:
    """`YYYY-MM-DDTHH:mm:ss.SSSZ`; coarser than the microseconds handed in (doors.md 12)."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()}.{rest // 1000:03d}Z"


# --- values and names


def type_of(value: Json) -> str:
    """The attribute type that follows from a value."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, (int, float)):
        return "Number"
    if isinstance(value, str):
        return "Text"
    return "None" if value is None else "StructuredValue"


def deeper_than(value: Json, limit: int) -> bool:
    """True if a value is nested beyond `limit` levels; does not recurse, so that no depth can hurt."""
    level: list[Json] = [value]
    for _ in range(limit + 1):
        below: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True


def shown_name(name: str) -> str:
    """A name as NGSI may show it: what it forbids is percent-encoded.

    >>> shown_name("wind speed"), shown_name("a.b"), shown_name("50%")
    ('wind%20speed', 'a.b', '50%')
    """
    return name if _NAME.fullmatch(name) else quote(name, safe=_SAFE)


def stored_name(shown: str, present: Mapping[str, object]) -> str:
    """The stored name that a client means by a shown one: an encoded name finds the attribute it was made from."""
    if shown not in present and "%" in shown:
        decoded = unquote(shown)
        if decoded in present and shown_name(decoded) == shown:
            return decoded
    return shown


def check_name(name: Json, field: str) -> str:
    """An id, type, attribute or metadata name of a client. Raises InvalidInput."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f"Invalid characters in {field}", field=field)
    return name


def _check_value(value: Json, field: str) -> None:
    if isinstance(value, str):
        if _FORBIDDEN_VALUE.search(value):
            raise InvalidInput(f"Invalid characters in attribute value of {field}", field=field)
    elif isinstance(value, list):
        for item in value:
            _check_value(item, field)
    elif is_object(value):
        for key, item in value.items():
            _check_value(key, field)
            _check_value(item, field)


# --- correlators (agent.md 2.1)


def correlator(given: bytes) -> bytes | None:
    """A caller's `Fiware-Correlator`, None if it stated none that can be echoed."""
    return given if 0 < len(given) <= MAX_CORRELATOR else None


def new_correlator(random: bytes) -> bytes:
    """A version 4 UUID as text, from 16 random bytes."""
    raw = bytearray(random)
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex().encode()
    return b"-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


# --- tenant and path (17.1)


def tenant(header: str) -> str:
    """A `Fiware-Service` header as the identifier of an app (doors.md 27). Raises InvalidInput."""
    if not _TENANT.fullmatch(header):
        raise InvalidInput("Invalid characters in Fiware-Service", field="fiware-service")
    return header.lower().replace("_", "-")


def write_path(header: str | None) -> str:
    """The one service path of a write. Raises InvalidInput."""
    if header is None:
        return "/"
    if not _PATH.fullmatch(header):
        raise InvalidInput("Invalid characters in Fiware-ServicePath", field="fiware-servicepath")
    return header


class Scope(msgspec.Struct, frozen=True):
    """Which service paths a read covers."""

    exact: frozenset[str]
    below: tuple[str, ...]  # each ends with "/"; these and what they begin

    def covers(self, path: str) -> bool:
        """True if an entity of that path is to be shown."""
        return path in self.exact or any(path == p[:-1] or path.startswith(p) for p in self.below)


EVERYWHERE: Final = Scope(frozenset(), ("/",))


def read_scope(header: str | None) -> Scope:
    """The service paths of a read: a comma list of at most 10, `/a/#` for a subtree. Raises InvalidInput."""
    if header is None:
        return EVERYWHERE
    exact: set[str] = set()
    below: list[str] = []
    parts = [part.strip() for part in header.split(",")]
    if len(parts) > 10:
        raise InvalidInput("too many paths in Fiware-ServicePath", field="fiware-servicepath")
    for part in parts:
        if part == "/#":
            below.append("/")
        elif part.endswith("/#") and _PATH.fullmatch(part[:-2]):
            below.append(part[:-1])
        else:
            exact.add(write_path(part))
    return Scope(frozenset(exact), tuple(below))


# --- what a client writes


class AttributeWrite(msgspec.Struct, frozen=True):
    """One attribute of a request: unset is what the client left out."""

    value: Json
    type: str | UnsetType = UNSET
    metadata: dict[str, Json] | UnsetType = UNSET

    def over(self, stored: Attribute | None) -> Attribute:
        """The attribute after this write: type and metadata that are not given stay (17.1)."""
        type_name = self.type if self.type is not UNSET else stored.type if stored is not None else type_of(self.value)
        metadata = self.metadata if self.metadata is not UNSET else stored.metadata if stored is not None else {}
        return Attribute(type_name, metadata)


class EntityWrite(msgspec.Struct, frozen=True):
    """An entity of a request."""

    id: str
    type: str
    attributes: dict[str, AttributeWrite]


def entity_write(body: Json, *, key_values: bool) -> EntityWrite:
    """Parse and check an entity (normalized, or plain values). Raises InvalidInput naming the field."""
    if not is_object(body):
        raise InvalidInput("the entity must be a JSON object", field="entity")
    if not body:
        raise InvalidInput("empty payload", field="entity")
    if deeper_than(body, MAX_DEPTH):
        raise InvalidInput(f"more than {MAX_DEPTH} levels of nesting", field="entity")
    if "id" not in body:
        raise InvalidInput("entity id length: 0, min length supported: 1", field="id")
    entity_id = check_name(body["id"], "entity id")
    type_name = check_name(body.get("type", DEFAULT_TYPE), "entity type")
    attributes: dict[str, AttributeWrite] = {}
    for name, given in body.items():
        if name not in ("id", "type"):
            check_name(name, "attribute name")
            attributes[name] = _plain(name, given) if key_values else _normalized(name, given)
    return EntityWrite(entity_id, type_name, attributes)


def _plain(name: str, value: Json) -> AttributeWrite:
    _check_value(value, name)
    return AttributeWrite(value)


def _normalized(name: str, given: Json) -> AttributeWrite:
    if not is_object(given):
        raise InvalidInput(f"attribute must be a JSON object, unless keyValues option is used: {name}", field=name)
    for member in given:
        if member not in ("value", "type", "metadata"):
            raise InvalidInput(f"unrecognized property for context attribute: {member} of {name}", field=name)
    type_name: str | UnsetType = UNSET
    if "type" in given:
        type_name = check_name(given["type"], f"attribute type of {name}")
    value = given.get("value")
    if type_name != _UNRESTRICTED:
        _check_value(value, name)
    if "metadata" not in given:
        return AttributeWrite(value, type_name)
    metadata = given["metadata"]
    if not is_object(metadata):
        raise InvalidInput(f"metadata must be a JSON object: {name}", field=name)
    return AttributeWrite(value, type_name, {key: _metadata(name, key, item) for key, item in metadata.items()})


def _metadata(name: str, key: str, given: Json) -> Json:
    field = f"{name}.metadata.{key}"
    check_name(key, f"metadata name of {name}")
    if not is_object(given) or any(member not in ("value", "type") for member in given):
        raise InvalidInput(f"metadata must be a JSON object of type and value: {field}", field=field)
    value = given.get("value")
    type_name = check_name(given["type"], f"metadata type of {field}") if "type" in given else type_of(value)
    _check_value(value, field)
    return {"type": type_name, "value": value}


# --- what a client reads


class Shown(msgspec.Struct, frozen=True):
    """One attribute of an entity that is shown."""

    value: Json
    attribute: Attribute | None = None  # None: type by value
    at: int = 0  # when its state was set; of two things with one identity the newer is shown (doors.md 16)


def render(
    id: str, type: str, attributes: Mapping[str, Shown], *, only: Sequence[str] = (), key_values: bool = False
) -> JsonObject:
    """An entity as JSON, normalized or as plain values; `only` picks attributes by their shown names."""
    out: JsonObject = {"id": shown_name(id), "type": shown_name(type)}
    wanted = frozenset(only)
    for name, shown in attributes.items():
        label = shown_name(name)
        if label in ("id", "type") or (wanted and label not in wanted):
            continue
        stated = shown.attribute
        type_name = stated.type if stated is not None else type_of(shown.value)
        value = _time_shown(type_name, shown.value)
        if key_values:
            out[label] = value
        else:
            metadata = _metadata_shown(stated.metadata.items()) if stated is not None else {}
            out[label] = {"type": type_name, "value": value, "metadata": metadata}
    return out


def _time_shown(type_name: str, value: Json) -> Json:
    if type_name in _TIMES:
        micros = instant(value)
        if micros is not None:
            return iso(micros)
    return value


def _metadata_shown(metadata: Iterable[tuple[str, Json]]) -> JsonObject:
    out: JsonObject = {}
    for key, item in metadata:
        if is_object(item):
            value = item.get("value")
            type_name = item.get("type")
            type_name = type_name if isinstance(type_name, str) else type_of(value)
            out[shown_name(key)] = {"type": type_name, "value": _time_shown(type_name, value)}
    return out
