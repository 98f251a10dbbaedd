"""How errors look at this door: one table from cause to status, and the two shapes (hypermedia.md 1.4)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from thingstead.model import errors as e
from thingstead.model.hypermedia.negotiation import JSON, PROBLEM, wants_problem
from thingstead.model.values import JsonObject

STATUS: Final[Mapping[type[e.ThingsteadError], int]] = {
    e.TooLarge: 413,
    e.InvalidInput: 400,
    e.Forbidden: 403,
    e.Unauthenticated: 401,
    e.NotFound: 404,
    e.MethodNotAllowed: 405,
    e.VersionMismatch: 409,
    e.Conflict: 400,
    e.TooManyRequests: 429,
    e.LimitReached: 400,
    e.Unavailable: 503,
    e.NotSupported: 501,
    e.ThingsteadError: 500,
}


class Refusal(msgspec.Struct, frozen=True):
    """An error answer."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


def status_of(error: e.ThingsteadError) -> int:
    """The status of the nearest class that the table names."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def refusal(error: e.ThingsteadError, accept: str | None) -> Refusal:
    """The answer to a refused request, in Chain's shape, or as RFC 9457 where that was named."""
    status = status_of(error)
    message = _message(error)
    item: JsonObject = {"code": error.details.get("code", error.code)}
    if error.field is not None:
        item["field"] = error.field
    if "index" in error.details:
        item["index"] = int(error.details["index"])
    if status in (401, 403, 429):
        item.update({name: text for name, text in error.details.items() if name in ("rule", "actor", "right")})
    headers: tuple[tuple[str, str], ...] = ()
    if status == 401:
        headers = (("www-authenticate", 'Basic realm="Restricted"'),)
    elif status == 405 and "allow" in error.details:
        headers = (("allow", error.details["allow"]),)
    elif "retry_after" in error.details:
        headers = (("retry-after", error.details["retry_after"]),)
    body: JsonObject = {"status": status, "message": message}
    if wants_problem(accept):
        body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": message}
    if status < 500:
        body["errors"] = [item]
    return Refusal(status, msgspec.json.encode(body), PROBLEM if "detail" in body else JSON, headers)


def not_acceptable(accept: str | None) -> Refusal:
    """406: a body of `message` alone, typed as HAL (asserted upstream)."""
    message = f"none of the types asked for is available: {(accept or '')[:200]}"
    return Refusal(406, msgspec.json.encode({"message": message}), "application/hal+json")


def _message(error: e.ThingsteadError) -> str:
    """The message, with the phrases that clients of Chain look for."""
    if isinstance(error, e.NotFound):
        return f"resource not found{': ' + error.message if error.message not in ('', 'Not Found') else ''}"
    if isinstance(error, e.MalformedBody):
        return f"request body cannot be parsed as legal JSON: {error.message}"
    if isinstance(error, e.KeyTaken):
        return f"required fields missing or matching object already exists: {error.message}"
    return error.message or error.code.replace("_", " ")
