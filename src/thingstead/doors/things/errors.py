"""Errors of the shadow as AWS shows them (things.md 7.4): one table from cause to code, for MQTT and REST."""

from typing import Final

from thingstead.model.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    LimitReached,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    NotSupported,
    ThingsteadError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)


class UnsupportedEncoding(MalformedBody):
    """A document that is not UTF-8."""


class NotTheDevice(Forbidden):
    """Somebody else reports for a thing; the message says so."""


# subclasses before their bases
_TABLE: Final[tuple[tuple[type[ThingsteadError], int, str], ...]] = (
    (UnsupportedEncoding, 415, ""),
    (TooLarge, 413, "The payload exceeds the maximum size allowed"),
    (InvalidInput, 400, ""),
    (Unauthenticated, 401, "Unauthorized"),
    (NotTheDevice, 403, ""),
    (Forbidden, 403, "Forbidden"),
    (NotFound, 404, ""),
    (MethodNotAllowed, 405, ""),
    (Conflict, 409, "Version conflict"),
    (LimitReached, 429, ""),
    (NotSupported, 501, ""),
    (Unavailable, 503, ""),
)


def shown(error: Exception) -> tuple[int, str]:
    """(code, message) of an error; what is no ThingsteadError is 500."""
    if isinstance(error, ThingsteadError):
        for cause, code, message in _TABLE:
            if isinstance(error, cause):
                return code, message or error.message or "Internal service failure"
    return 500, "Internal service failure"
