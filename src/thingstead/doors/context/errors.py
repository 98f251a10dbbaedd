"""How errors look at the context door: one table from cause to status, as Orion answers (agent.md 17.1)."""

from typing import Final

from thingstead.doors.fiware import Refusal
from thingstead.model import errors as e
from thingstead.model.values import dump
from thingstead.transports.http import Refused, refusal_headers

TABLE: Final[tuple[tuple[type[e.ThingsteadError], int, str], ...]] = (
    (e.TooLarge, 413, "RequestEntityTooLarge"),
    (e.MalformedBody, 400, "ParseError"),
    (e.InvalidInput, 400, "BadRequest"),
    (e.Unauthenticated, 401, "Unauthorized"),
    (e.Forbidden, 403, "Forbidden"),
    (e.NotFound, 404, "NotFound"),
    (e.MethodNotAllowed, 405, "MethodNotAllowed"),
    (e.Conflict, 422, "Unprocessable"),
    (e.NotSupported, 501, "NotImplemented"),
    (e.LimitReached, 429, "TooManyRequests"),
    (e.Unavailable, 503, "NoResourcesAvailable"),
    (e.ThingsteadError, 500, "InternalServerError"),
)
"""(class, status, error); the first that fits."""


def refused(error: e.ThingsteadError | Refusal) -> Refused:
    """The answer to a refused request."""
    if isinstance(error, Refusal):
        return Refused(error.status, dump({"error": error.name, "description": error.message}))
    status, name = next((status, name) for kind, status, name in TABLE if kind in type(error).__mro__)
    description = "Errors found in incoming JSON buffer" if name == "ParseError" else error.message
    return Refused(status, dump({"error": name, "description": description}), refusal_headers(status, error))


def crashed() -> Refused:
    """The answer when something broke that has no name."""
    return Refused(500, dump({"error": "InternalServerError", "description": "the server failed; its log says why"}))


def not_found() -> e.NotFound:
    """No such entity."""
    return e.NotFound("The requested entity has not been found. Check type and id")
