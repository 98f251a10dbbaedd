"""River messages (objects.md 15): what JSON text from a queue asks for. Pure.

Promises: a message is either one of these or an InvalidInput that says why; nothing of it is trusted before.
"""

import base64
import binascii
import re
from typing import Final

import msgspec

from thingstead.model import ids, types
from thingstead.model.errors import ConstraintViolation
from thingstead.model.values import Json, JsonObject, is_array, parse_object
from thingstead.model.webhooks import Delivery, repeats, target_problem

INDEX_ALL: Final = "index_all_op"
REBUILD: Final = "rebuild_index_op"
INDEX_OPS: Final = (INDEX_ALL, "unindex_all_op", REBUILD, "create_index_op", "delete_index_op")
MAX_ID: Final = 1024
MAX_MESSAGE: Final = 4 << 20
_NOT_GENERIC: Final = frozenset({"thing", "entity", "service_group"})
_FORBIDDEN = re.compile(r"[\x00\\]")
_FLAGS: Final = ("_create", "_delete")


class Write(msgspec.Struct, frozen=True):
    """Create (`overwrite`: whatever is there), or merge into what is there."""

    app: str
    id: str | None
    type: str
    body: JsonObject
    overwrite: bool


class Delete(msgspec.Struct, frozen=True):
    """Delete by id."""

    app: str
    id: str


class Deliver(msgspec.Struct, frozen=True):
    """Send to a webhook."""

    delivery: Delivery


class IndexWork(msgspec.Struct, frozen=True):
    """Work on the index that another node asks for; `ids` of `index_all_op` and `unindex_all_op`."""

    app: str
    op: str
    ids: tuple[str, ...]


Order = Write | Delete | Deliver | IndexWork


def read(body: bytes) -> Order:
    """What a message asks for. Raises InvalidInput naming the member that is wrong."""
    if len(body) > MAX_MESSAGE:
        raise ConstraintViolation(f"a message has at most {MAX_MESSAGE} bytes", field="message")
    message = parse_object(body)
    app = ids.app_identifier(_text(message, "appid"))
    type_name = _text(message, "type")
    if not app:
        raise ConstraintViolation("'appid' names no app", field="appid")
    if type_name == "webhookpayload":
        return Deliver(_delivery(app, message))
    if type_name == "indexpayload":
        return _index_work(app, message)
    kind = types.clean(type_name)
    if not is_generic(kind):
        raise ConstraintViolation(f"'{kind}' is not a generic type", field="type")
    id = _id(message)
    if _flag(message, "_delete"):
        if id is None:
            raise ConstraintViolation("'id' must say what to delete", field="id")
        return Delete(app, id)
    kept: JsonObject = {name: value for name, value in message.items() if name not in _FLAGS}
    return Write(app, id, kind, kept, _flag(message, "_create"))


def is_generic(type_name: str) -> bool:
    """True for types whose objects a message may write."""
    return types.spec_of(type_name).custom and type_name not in _NOT_GENERIC


def _text(message: JsonObject, name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConstraintViolation(f"'{name}' must be text", field=name)
    return value


def _flag(message: JsonObject, name: str) -> bool:
    return message.get(name) in (True, "true")


def _id(message: JsonObject) -> str | None:
    id: Json = message.get("id")
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if id is None or id == "":
        return None
    if not isinstance(id, str) or not id.strip() or len(id) > MAX_ID or id in (".", "..") or _FORBIDDEN.search(id):
        raise ConstraintViolation("'id' cannot be the id of an object", field="id")
    if id.startswith(ids.APP_PREFIX):
        raise ConstraintViolation("apps cannot be written through the queue", field="id")
    return id


def _delivery(app: str, message: JsonObject) -> Delivery:
    target, event, payload = (_text(message, name) for name in ("targetUrl", "event", "payload"))
    problem = target_problem(target)
    if problem is not None:
        raise ConstraintViolation(f"'targetUrl' {problem}", field="targetUrl")
    if not event.isprintable():
        raise ConstraintViolation("'event' must be printable", field="event")
    signature = message.get("signature")
    try:
        base64.b64decode(signature if isinstance(signature, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise ConstraintViolation("'signature' must be Base64", field="signature") from None
    return Delivery(
        app,
        event,
        payload.encode(),
        webhook=_id(message) or "",
        target=target,
        signature=signature if isinstance(signature, str) else "",
        url_encoded=message.get("urlEncoded") in (True, "true"),
        left=repeats(message.get("repeatedDeliveryAttempts")),
    )


def _index_work(app: str, message: JsonObject) -> IndexWork:
    op = _text(message, "id")
    if op not in INDEX_OPS:
        raise ConstraintViolation(f"'{op}' is no work on the index", field="id")
    payload = message.get("payload")
    named = payload if is_array(payload) else []
    return IndexWork(app, op, tuple(id for id in named if isinstance(id, str) and id.strip()))
