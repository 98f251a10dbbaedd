"""Webhooks (objects.md 15): who wants which event, what is sent, how it is signed, where to and how often. Pure.

`Delivery` is what stands in the queue: the event's payload, and either the webhook whose address and secret are looked
up when it is sent, or an address with a signature made before. No secret is ever in it.
"""

import base64
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus, urlsplit

import msgspec

from thingstead.model.values import Json, JsonObject, dump, is_array, is_object

QUEUE: Final = "webhooks"
CHANGES: Final = ("create", "update", "delete", "createAll", "updateAll", "deleteAll")
REPORT: Final = "report"
EVENTS: Final = (*CHANGES, REPORT)
APP_SECRET: Final = "{{secretKey}}"  # noqa: S105  a placeholder: sign with the app's own secret
SECRET_BYTES: Final = 32
MOST_REPEATED: Final = 100
MAX_PAYLOAD: Final = 1_048_576  # bytes of items after which an event goes on in another message
MAX_URL: Final = 8_192
HELD: Final = 3  # tries for which a webhook's later events wait; then the failing one steps aside
WAITS: Final = (0.5, 1.0, 2.0, 8.0, 30.0, 120.0, 300.0)  # seconds after the first, second, ... failure
JITTER: Final = 0.25  # part of a wait that chance adds
FORGIVEN: Final = 600_000_000  # microseconds after the last failure until failures are forgotten
TRIGGERED: Final = "triggered:"
NOWHERE: Final = "https://triggered.invalid/"  # what the answer to a custom event names as its target


class Subscription(msgspec.Struct, frozen=True):
    """An active webhook, as far as it matters when something happens."""

    id: str
    events: frozenset[str]
    custom: frozenset[str]
    type_filter: str  # in lower case; "" for all types
    property_filter: str


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event for one receiver, as it stands in the queue."""

    app: str
    event: str
    payload: bytes
    webhook: str = ""  # id of the webhook object; "" if nobody's failures are to be counted
    target: str = ""  # where to and with which signature, if that was settled before
    signature: str = ""
    url_encoded: bool = True
    left: int = 0  # how often it is still to be sent; 0: as often as the webhook says


def encode(delivery: Delivery) -> bytes:
    """The body of a message."""
    return msgspec.msgpack.encode(delivery)


def decode(body: bytes) -> Delivery:
    """The delivery of a message. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.msgpack.decode(body, type=Delivery)


# --- who wants it


def subscription(id: str, own: Mapping[str, Json]) -> Subscription | None:
    """A webhook's declared fields as a subscription; None while it is not active."""
    if own.get("active") is not True:
        return None
    custom = own.get("customEvents")
    kind = own.get("typeFilter")
    kind = kind.strip().lower() if isinstance(kind, str) else ""
    narrowed = own.get("propertyFilter")
    return Subscription(
        id,
        frozenset(name for name in EVENTS if own.get(name) is True),
        frozenset(name for name in custom if isinstance(name, str)) if is_array(custom) else frozenset(),
        "" if kind == "*" else kind,
        narrowed.strip() if isinstance(narrowed, str) else "",
    )


def selects_any(own: Mapping[str, Json]) -> bool:
    """True if any event is selected."""
    return any(own.get(name) is True for name in EVENTS) or bool(own.get("customEvents"))


def passes(subscription: Subscription, type: str, wire: Mapping[str, Json]) -> bool:
    """True if an object of this type passes the webhook's filters."""
    if subscription.type_filter and subscription.type_filter != type.lower():
        return False
    return not subscription.property_filter or property_matches(subscription.property_filter, wire)


def property_matches(expression: str, wire: Mapping[str, Json]) -> bool:
    """`name:value`, `name:a,b` (all), `name:a|b` (any), `name:-` (empty); a list has each of its members.

    >>> property_matches("tags:a|b", {"tags": ["b", "c"]}), property_matches("room.floor:2", {"room": {"floor": 2}})
    (True, True)
    """
    name, colon, wanted = expression.partition(":")
    if not colon:
        return False
    values = _texts(_member(wire, name.strip()))
    if wanted.strip() == "-":
        return not values
    return any(all(part.strip() in values for part in choice.split(",")) for choice in wanted.split("|"))


def _member(wire: Mapping[str, Json], name: str) -> Json:
    """A member by its plain name, below `properties.`, or by a path of names."""
    name = name.removeprefix("properties.")
    if name in wire:
        return wire[name]
    value: Json = dict(wire)
    for part in name.split("."):
        if not is_object(value):
            return None
        value = value.get(part)
    return value


def _texts(value: Json) -> frozenset[str]:
    values = value if is_array(value) else [value]
    texts = (v if isinstance(v, str) else dump(v).decode() for v in values if v is not None)
    return frozenset(text for text in texts if text.strip() and text != "{}")


# --- what is sent


def payloads(app: str, event: str, now_ms: int, items: Iterable[bytes]) -> list[bytes]:
    """The JSON texts of an event; more than one only if its items are more than `MAX_PAYLOAD`."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for item in items:
        if parts[-1] and size + len(item) > MAX_PAYLOAD:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += len(item)
    head = dump({"appid": app, "event": event, "timestamp": now_ms})[:-1]
    return [b'%b,"items":[%b]}' % (head, b",".join(part)) for part in parts]


def signature(payload: bytes, secret: str) -> str:
    """What `X-Webhook-Signature` holds: Base64 of HMAC-SHA256 under the secret's UTF-8; "" without a secret."""
    return base64.b64encode(hmac.digest(secret.encode(), payload, "sha256")).decode() if secret else ""


def body_of(payload: bytes, *, url_encoded: bool) -> tuple[str, bytes]:
    """Content type and body of a request."""
    if url_encoded:
        return "application/x-www-form-urlencoded", b"payload=" + quote_plus(payload).encode()
    return "application/json", payload


def repeats(value: Json) -> int:
    """How often a payload is sent: the absolute value, 1 to 100."""
    return max(1, min(abs(value), MOST_REPEATED)) if isinstance(value, int) else 1


def lane(app: str, webhook: str) -> str:
    """The queue's lane of a webhook."""
    return f"{app}\x1f{webhook}"


def report_item(thing: str, type: str, time: int, version: int, readings: Sequence[tuple[str, Json]]) -> bytes:
    """An item of a `report` event: what a thing said at one instant; `time` in microseconds, told in milliseconds."""
    told: JsonObject = {path: value for path, value in readings if value is not None}
    return dump({"id": thing, "type": type, "time": time // 1000, "version": version, "readings": told})


# --- how often


def wait(failures: int, chance: float) -> float:
    """Seconds until the next try after so many failures (1, 2, ...); `chance` from 0 to 1 spreads them."""
    return WAITS[min(failures, len(WAITS)) - 1] * (1 + JITTER * chance)


# --- where to


def target_problem(url: str) -> str | None:
    """What is wrong with a target address; None if it may be tried."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be a valid URL"
    if len(url) > MAX_URL or not url.isprintable() or " " in url or port == 0:
        return "must be a valid URL"
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return "must be a valid URL"
    if parts.username is not None or parts.password is not None:
        return "must be a valid URL without a name or password"
    if "#" in url:
        return "must be a valid URL without a fragment"
    return None
