"""Errors of the kits door: one table from cause to status; the body is the general API's (objects.md 1.2)."""

from http import HTTPStatus
from typing import Final

from thingstead.model import errors
from thingstead.model.errors import ThingsteadError
from thingstead.model.values import dump

STATUS: Final[dict[type[ThingsteadError], int]] = {
    errors.InvalidInput: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.LimitReached: 429,
    errors.Unavailable: 503,
    errors.ThingsteadError: 500,
}


def shown(error: ThingsteadError) -> tuple[int, bytes]:
    """(status, body) of an error."""
    status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    return status, dump({"code": status, "message": error.message or HTTPStatus(status).phrase})
