"""The one error tree. Raised by cause; each class has a stable code; every door has one table from class to its shape.

`code` never changes once released. `message` is for people. `field` names the offending input where there is one.
`details` are short extra facts (text to text) that a door may show to those entitled to know; never secrets.
"""

from collections.abc import Mapping


class ThingsteadError(Exception):
    """Root of all errors that cross floors."""

    code = "error"

    def __init__(self, message: str = "", *, field: str | None = None, details: Mapping[str, str] | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.details: Mapping[str, str] = details or {}
        self.asker = ""  # the kind of principal that was refused, once it is proven: who may see `details`


class InvalidInput(ThingsteadError):
    """The caller sent something that cannot be accepted; nothing has changed."""

    code = "invalid"


class MalformedBody(InvalidInput):
    """The bytes are not what the content should be (JSON, UltraLight, an MQTT packet, ...)."""

    code = "malformed_body"


class MissingBody(InvalidInput):
    """A body was needed and there is none."""

    code = "missing_body"


class InvalidQuery(InvalidInput):
    """A query string cannot be parsed (objects.md 6.6)."""

    code = "invalid_query"


class ConstraintViolation(InvalidInput):
    """A required or constrained field is missing or wrong; `field` names it."""

    code = "constraint_violation"


class TooLarge(InvalidInput):
    """A body, packet, document or topic is over its limit."""

    code = "too_large"


class Unauthenticated(ThingsteadError):
    """Nobody, where somebody is needed, or a proof that does not hold."""

    code = "unauthenticated"


class InvalidToken(Unauthenticated):
    """A token that is altered, expired or unknown."""

    code = "invalid_token"


class SignInFailed(Unauthenticated):
    """Somebody could not be signed in (identity.md 6.3). `details["reason"]` is a short code for logs and `cause=?`."""

    code = "sign_in_failed"


class ExpiredSignature(Unauthenticated):
    """A signed request without a date, too old, or from the future (identity.md 4.2)."""

    code = "expired_signature"


class BadSignature(Unauthenticated):
    """A signature that does not match the request (identity.md 4.2).

    `canonical` is the canonical request that was signed here, where clients may see it, else "".
    """

    code = "bad_signature"
    canonical = ""


class Forbidden(ThingsteadError):
    """Known caller, missing right. `details` may hold rule, actor and right."""

    code = "forbidden"


class NotFound(ThingsteadError):
    """The addressed thing does not exist for this caller."""

    code = "not_found"


class AppNotFound(NotFound):
    """No such app."""

    code = "app_not_found"


class MethodNotAllowed(ThingsteadError):
    """The resource exists, the method does not."""

    code = "method_not_allowed"


class Conflict(ThingsteadError):
    """The request is fine but contradicts what is stored."""

    code = "conflict"


class VersionMismatch(Conflict):
    """An optimistic lock or a shadow version moved on (objects.md 4, things.md 7.3)."""

    code = "version_mismatch"


class KeyTaken(Conflict):
    """A unique key belongs to another object; `field` names the key's scope."""

    code = "key_taken"


class LimitReached(ThingsteadError):
    """A rate or a bounded queue is full; try later."""

    code = "limit_reached"


class TooManyRequests(LimitReached):
    """Somebody asks too often. `details["retry_after"]`: the seconds to wait."""

    code = "too_many_requests"


class CutOff(LimitReached):
    """A live listener fell behind its bound, or may have missed events, and was cut off (ports/hub)."""

    code = "cut_off"


class Unavailable(ThingsteadError):
    """A part that is needed cannot answer now; nothing was acknowledged and nothing has changed."""

    code = "unavailable"


class StoreFailed(Unavailable):
    """A commit did not become durable (disk full, I/O error)."""

    code = "store_failed"


class NotSupported(ThingsteadError):
    """The operation exists in the contract but not at this broker, engine or setting."""

    code = "not_supported"
