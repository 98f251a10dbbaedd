"""JSON payloads of devices as measures (agent.md 7.1, 13.2, 21 D23, D35). Pure."""

from collections.abc import Sequence
from typing import Final

from thingstead.model import ngsi
from thingstead.model.errors import InvalidInput, MalformedBody, TooLarge
from thingstead.model.values import Json, JsonObject, is_object, parse

MAX_MEASURES: Final = 1000
MAX_BYTES: Final = 1_048_576


def measures(payload: bytes | str) -> list[JsonObject]:
    """The measures of a JSON text: an object is one, an array several, `[]` and `null` none. Raises MalformedBody.

    >>> measures('{"t":1}'), measures('[{"t":1},{"t":2}]'), measures("null")
    ([{'t': 1}], [{'t': 1}, {'t': 2}], [])
    """
    if len(payload) > MAX_BYTES:
        raise TooLarge(f"a payload has at most {MAX_BYTES} bytes", field="payload")
    value = parse(payload)
    if is_object(value):
        return [value]
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedBody("a measure must be a JSON object or an array of objects")
    out: list[JsonObject] = []
    for item in value:
        if not is_object(item):
            raise MalformedBody("every measure of an array must be a JSON object")
        out.append(item)
    return out


def single(payload: bytes, *, content_type: str) -> Json:
    """The bare value of `.../attrs/{name}`: JSON, text, or bytes as hexadecimal text. Raises MalformedBody.

    `content_type` "": as over MQTT, JSON if it is JSON, else hexadecimal.
    """
    if content_type == "text/plain":
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise MalformedBody("the text is not UTF-8") from None
    if content_type == "application/octet-stream":
        return payload.hex()
    try:
        return parse(payload)
    except MalformedBody:
        if content_type:
            raise
        return payload.hex()


def check(found: Sequence[JsonObject]) -> None:
    """Refuse what no entity can hold, whichever protocol brought it. Raises InvalidInput, TooLarge."""
    if len(found) > MAX_MEASURES:
        raise TooLarge(f"a message has at most {MAX_MEASURES} measures", field="payload")
    for measure in found:
        for key, value in measure.items():
            if not 0 < len(key) <= ngsi.MAX_NAME:
                raise InvalidInput(f"an attribute's name has 1 to {ngsi.MAX_NAME} characters", field=key[:32])
            if isinstance(value, (dict, list)) and ngsi.deeper_than(value, ngsi.MAX_DEPTH):
                raise InvalidInput(f"more than {ngsi.MAX_DEPTH} levels of nesting in {key}", field=key)
