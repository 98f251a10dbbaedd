"""Errors in the shape of `/v1`: one table from cause to status (objects.md 1.2; identity.md 14).

Promises: `{"code":...,"message":...}` and nothing else in the body, but for the canonical request of a wrong signature
where `para.debug_request_signatures` is on. Why somebody was refused stands in the log, and in a header for a signed
app, or a user about itself.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

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


REFUSED: Final = b"x-thingstead-refused"
ENTITLED: Final = frozenset({"app", "user"})
_REASONS: Final = ("rule", "actor", "right")
_PLAIN: Final = " /*:.,'()[]=?&+@~!-_"
_MOST: Final = 500  # characters of each


def status_of(error: ThingsteadError) -> int:
    """The status of the nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def error_answer(error: ThingsteadError) -> Answer:
    """What the client is told."""
    status = status_of(error)
    answer = plain(status, error.message)
    if isinstance(error, errors.BadSignature) and error.canonical:
        answer.body = dump({"code": status, "message": error.message, "canonicalRequest": error.canonical})
    if status == 401:
        challenge = b'Bearer error="invalid_token"' if isinstance(error, errors.InvalidToken) else b"Bearer"
        answer.headers = ((b"www-authenticate", challenge),)
    elif isinstance(error, errors.MethodNotAllowed) and "allow" in error.details:
        answer.headers = ((b"allow", error.details["allow"].encode()),)
    else:
        answer.headers = tuple(retry_after(error))
    if status in (401, 403) and error.asker in ENTITLED and (reasons := _reasons(error.details)):
        answer.headers += ((REFUSED, reasons),)
    return answer


def _reasons(details: Mapping[str, str]) -> bytes:
    """`rule=...; actor=...; right=...` in ASCII; what else stands in a value is percent-encoded."""
    found = [f"{name}={quote(details[name][:_MOST], safe=_PLAIN)}" for name in _REASONS if details.get(name)]
    return "; ".join(found).encode()


def plain(status: int, message: str) -> Answer:
    """An error body; a blank message becomes the reason phrase."""
    return Answer(status, dump({"code": status, "message": message or HTTPStatus(status).phrase}))
