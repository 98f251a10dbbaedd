"""Errors in the shape of `/v1`: one table from cause to status (objects.md 1.2; identity.md 14).

Promises: `{"code":...,"message":...}` and nothing else in the body; details of a refusal stay in the log.
"""

from http import HTTPStatus
from typing import Final

from thingstead.doors.objects.render import Answer
from thingstead.model import errors
from thingstead.model.errors import ThingsteadError
from thingstead.model.values import dump
from thingstead.transports.http import retry_after

STATUS: Final[dict[type[ThingsteadError], int]] = {
    errors.InvalidInput: 400,
    errors.ExpiredSignature: 400,
    errors.SignInFailed: 400,
    errors.Unauthenticated: 401,
    errors.BadSignature: 403,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.VersionMismatch: 412,
    errors.LimitReached: 429,
    errors.NotSupported: 501,
    errors.Unavailable: 503,
    errors.ThingsteadError: 500,
}


def status_of(error: ThingsteadError) -> int:
    """The status of the nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def error_answer(error: ThingsteadError) -> Answer:
    """What the client is told."""
    status = status_of(error)
    answer = plain(status, error.message)
    if status == 401:
        challenge = b'Bearer error="invalid_token"' if isinstance(error, errors.InvalidToken) else b"Bearer"
        answer.headers = ((b"www-authenticate", challenge),)
    elif isinstance(error, errors.MethodNotAllowed) and "allow" in error.details:
        answer.headers = ((b"allow", error.details["allow"].encode()),)
    else:
        answer.headers = tuple(retry_after(error))
    return answer


def plain(status: int, message: str) -> Answer:
    """An error body; a blank message becomes the reason phrase."""
    return Answer(status, dump({"code": status, "message": message or HTTPStatus(status).phrase}))
