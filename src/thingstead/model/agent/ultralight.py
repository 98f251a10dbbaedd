"""UltraLight 2.0 payloads as measures (agent.md 13.3). Pure.

    payload := group { "#" group }        group := [ timestamp "|" ] key "|" value { "|" key "|" value }

Command results (`device@command|result`) are recognised and refused: commands are not supported yet.
"""

from typing import Final

from thingstead.model.errors import MalformedBody, NotSupported
from thingstead.model.ngsi import TIME_INSTANT
from thingstead.model.values import Json, JsonObject, parse

_SYNTAX: Final = "There was a syntax error in the Ultralight request: "


def measures(payload: bytes | str) -> list[JsonObject]:
    """The measures of a payload, in order. Raises MalformedBody, NotSupported.

    >>> measures("t|15|k|abc#2024-05-01T10:00:00Z|t|16")
    [{'t': 15, 'k': 'abc'}, {'t': 16, 'TimeInstant': '2024-05-01T10:00:00Z'}]
    """
    if isinstance(payload, bytes):
        try:
            payload = payload.decode()
        except UnicodeDecodeError:
            raise MalformedBody(_SYNTAX + "the payload is not UTF-8") from None
    return [_group(group) for group in payload.strip("\r\n").split("#")]


def value_of(text: str) -> Json:
    """A value: JSON if it is JSON, else the text itself.

    >>> value_of("1e3"), value_of("007"), value_of("true"), value_of("abc")
    (1000.0, '007', True, 'abc')
    """
    try:
        return parse(text)
    except MalformedBody:
        return text


def _group(text: str) -> JsonObject:
    text = text.removeprefix("|")
    parts = text.split("|")
    if "@" in parts[0][1:]:
        raise NotSupported("results of commands are not supported", field="command")
    stamp = parts.pop(0) if len(parts) % 2 else None
    if not parts or stamp == "" or "" in parts:
        raise MalformedBody(_SYNTAX + (f"empty or lone part in {text!r}" if text else "empty group"))
    out: JsonObject = {key: value_of(value) for key, value in zip(parts[::2], parts[1::2], strict=True)}
    if stamp is not None:
        out[TIME_INSTANT] = stamp
    return out
