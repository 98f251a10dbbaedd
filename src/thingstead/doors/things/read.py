"""What devices send, parsed: shadow requests and plain data (things.md 6.5, 7.2, 7.3). Pure.

Depth and size of sections are judged where they are merged (core.ingest). Messages are those of things.md 7.4.
"""

import math
from typing import Final

import msgspec
import orjson

from thingstead.doors.things.errors import UnsupportedEncoding
from thingstead.model.errors import InvalidInput, MalformedBody
from thingstead.model.values import Json, JsonObject, is_object

MAX_TOKEN: Final = 64  # bytes (things.md 4.5)
_SECONDS_BELOW: Final = 100_000_000_000  # of a device's time: below it are seconds, above it milliseconds


class Update(msgspec.Struct, frozen=True, gc=False):
    """A shadow update: the sections that were given (object or None), the expected version, the token."""

    sections: dict[str, JsonObject | None]
    version: int | None
    token: str | None


def update(payload: bytes) -> Update:
    """A request document. Raises InvalidInput with a message of things.md 7.4."""
    document = _document(payload)
    state = document.get("state")
    if not is_object(state):
        if "state" in document:
            raise InvalidInput("State node must be an object", field="state")
        raise InvalidInput("Missing required node: state", field="state")
    sections: dict[str, JsonObject | None] = {}
    for name in _SECTIONS:
        if name in state:
            section = state[name]
            if section is not None and not is_object(section):
                raise InvalidInput(f"{name.capitalize()} node must be an object", field=f"state.{name}")
            sections[name] = section
    version = document.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 0):
        raise InvalidInput("Invalid version", field="version")
    return Update(sections, version, _token(document))


def token(payload: bytes) -> str | None:
    """The token of a `get` or `delete`, whose body may be empty and is otherwise ignored. Raises InvalidInput."""
    return _token(_document(payload)) if payload.strip() else None


def readable_token(payload: bytes) -> str | None:
    """The token of a request that was refused, if it can be read."""
    try:
        return _token(_document(payload))
    except InvalidInput:
        return None


def data(payload: bytes) -> tuple[JsonObject, int | None]:
    """A report without a shadow request: an object, and the device's time in microseconds, if it says one.

    The time is a top-level number `timestamp` or `ts`, in seconds or milliseconds by its size (things.md 9).
    """
    document = _document(payload)
    for name in ("timestamp", "ts"):
        time = document.get(name)
        if isinstance(time, (int, float)) and not isinstance(time, bool) and 0 < time < 1e15:
            del document[name]
            return document, math.floor(time * (1_000_000 if time < _SECONDS_BELOW else 1_000))
    return document, None


def value(payload: bytes) -> Json:
    """One value: JSON, or else the text as it is. Raises InvalidInput if it is empty or not UTF-8."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        text = _text(payload).strip()
        if not text:
            raise MalformedBody("an empty payload is no value") from None
        return text


_SECTIONS: Final = ("desired", "reported")


def _document(payload: bytes) -> JsonObject:
    try:
        document: Json = orjson.loads(payload)
    except orjson.JSONDecodeError:
        _text(payload)
        raise MalformedBody("Invalid JSON") from None
    if not is_object(document):
        raise MalformedBody("Invalid JSON")
    return document


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise UnsupportedEncoding("Unsupported documented encoding; supported encoding is UTF-8") from None


def _token(document: JsonObject) -> str | None:
    found = document.get("clientToken")
    if found is None:
        return None
    if not isinstance(found, str) or len(found.encode()) > MAX_TOKEN:
        raise InvalidInput("Invalid clientToken", field="clientToken")
    return found
