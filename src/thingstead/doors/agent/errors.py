"""How errors look at the agent door: one table from cause to name and status (agent.md 2.2).

Promises: `{"name":...,"message":...}`; the fixed messages begin as agent.md has them and go on with the field at fault.
"""

from typing import Final

from thingstead.doors.fiware import Refusal
from thingstead.model import errors as e
from thingstead.model.values import dump
from thingstead.transports.http import Refused, refusal_headers

SYNTAX: Final = "Wrong syntax in request: Errors found validating request."

TABLE: Final[tuple[tuple[type[e.ThingsteadError], str | None, int, str], ...]] = (
    (e.NotFound, "group", 404, "DEVICE_GROUP_NOT_FOUND"),
    (e.NotFound, "device", 404, "DEVICE_NOT_FOUND"),
    (e.NotFound, None, 404, "ENTITY_NOT_FOUND"),
    (e.KeyTaken, "group", 409, "DUPLICATE_GROUP"),
    (e.KeyTaken, "device", 409, "DUPLICATE_DEVICE_ID"),
    (e.Conflict, None, 409, "BAD_REQUEST"),
    (e.ConstraintViolation, "device_id", 400, "MISSING_ATTRIBUTES"),
    (e.ConstraintViolation, "entity_type", 400, "MISSING_CONFIG_PARAMS"),
    (e.InvalidInput, "TimeInstant", 400, "BAD_TIMESTAMP"),
    (e.TooLarge, None, 413, "PAYLOAD_TOO_LARGE"),
    (e.InvalidInput, None, 400, "WRONG_SYNTAX"),
    (e.Unauthenticated, None, 401, "AUTHENTICATION_ERROR"),
    (e.Forbidden, None, 403, "ACCESS_FORBIDDEN"),
    (e.MethodNotAllowed, None, 405, "METHOD_NOT_ALLOWED"),
    (e.NotSupported, None, 501, "METHOD_NOT_IMPLEMENTED"),
    (e.LimitReached, None, 429, "LIMIT_REACHED"),
    (e.Unavailable, None, 500, "INTERNAL_DB_ERROR"),
    (e.ThingsteadError, None, 500, "INTERNAL_ERROR"),
)
"""(class, field or None for any, status, name); the first that fits."""


def refused(error: e.ThingsteadError | Refusal) -> Refused:
    """The answer to a refused request."""
    if isinstance(error, Refusal):
        return Refused(error.status, dump({"name": error.name, "message": error.message}))
    status, name = next(
        (s, n) for kind, field, s, n in TABLE if kind in type(error).__mro__ and field in (None, error.field)
    )
    message = error.message
    if name == "WRONG_SYNTAX":
        message = f"{SYNTAX} {message}".rstrip()
    return Refused(status, dump({"name": name, "message": message}), refusal_headers(status, error))


def crashed() -> Refused:
    """The answer when something broke that has no name."""
    return Refused(500, dump({"name": "INTERNAL_ERROR", "message": "the server failed; its log says why"}))


def missing_headers(names: list[str]) -> Refusal:
    """MISSING_HEADERS with the absent ones."""
    listed = dump(list(names)).decode()
    return Refusal(400, "MISSING_HEADERS", f"Some headers were missing from the request: {listed}")


def missing_params(names: list[str]) -> Refusal:
    """MANDATORY_PARAMS_NOT_FOUND with the absent ones."""
    listed = dump(list(names)).decode()
    message = f"Some of the mandatory params weren't found in the request: {listed}"
    return Refusal(400, "MANDATORY_PARAMS_NOT_FOUND", message)


def wrong_type(given: str, expected: str) -> Refusal:
    """UNSUPPORTED_TYPE."""
    return Refusal(
        400, "UNSUPPORTED_TYPE", f"Unsupported content type in request: {given}, expected type [{expected} ]"
    )
