"""JSON Web Tokens: reading and checking them (identity.md 6). Pure; the time is handed in, keys are texts.

Promises: HS256 only, whatever the header says; a key shorter than 32 bytes verifies nothing. Whose key it must be is
decided by core.identity. Nothing is issued here.
"""

import base64
import binascii
from typing import Final

import msgspec

from thingstead.model.errors import InvalidToken

MAX_LENGTH: Final = 8192
SKEW: Final = 5  # seconds that `nbf` may lie ahead
MIN_KEY: Final = 32  # bytes
_ALGORITHMS: Final = ("HS256",)


class Claims(msgspec.Struct, frozen=True):
    """The claims that thingstead reads. Times in seconds."""

    appid: str
    exp: float
    iat: float | None = None
    nbf: float | None = None
    sub: str | None = None
    get_credentials: str | None = msgspec.field(default=None, name="getCredentials")


_claims = msgspec.json.Decoder(Claims)


def peek(token: str) -> Claims:
    """The claims, unverified: only to find out whose key must verify them. Raises InvalidToken."""
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3:
        raise InvalidToken("not a token")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except (binascii.Error, ValueError):
        raise InvalidToken("not a token") from None
    return _decode(payload)


def verify(token: str, key: str) -> Claims:
    """The claims of a token signed with `key`, at whatever time. Raises InvalidToken."""
    from joserfc import jws  # here, because it takes a tenth of the start of a server
    from joserfc.errors import JoseError
    from joserfc.jwk import OctKey

    raw = key.encode()
    if len(raw) < MIN_KEY:
        raise InvalidToken("the key is too short to verify anything")
    try:
        payload = jws.deserialize_compact(token, OctKey.import_key(raw), algorithms=_ALGORITHMS).payload
    except (JoseError, ValueError):
        raise InvalidToken("altered, or signed with another key") from None
    return _decode(payload)


def check_time(claims: Claims, now: float) -> None:
    """Refuse a token that is expired or not valid yet; `now` in seconds. Raises InvalidToken."""
    if claims.exp <= now:
        raise InvalidToken("expired", field="exp")
    if claims.nbf is not None and claims.nbf > now + SKEW:
        raise InvalidToken("not valid yet", field="nbf")


def _decode(payload: bytes) -> Claims:
    try:
        return _claims.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidToken(f"unusable claims: {error}") from None
