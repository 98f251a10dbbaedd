"""JSON Web Tokens: reading, checking, issuing (identity.md 6, 8.7). Pure; the time is handed in, keys are texts.

Promises: HS256 only, whatever the header says; a key shorter than 32 bytes verifies and signs nothing; what is issued
is the same to the byte for the same claims. Whose key it must be is decided by core.identity.
"""

import base64
import binascii
from typing import Final, NamedTuple, TypeVar

import msgspec

from thingstead.model.coercion import number_of
from thingstead.model.errors import InvalidToken
from thingstead.model.values import Json, JsonObject, dump

MAX_LENGTH: Final = 8192
SKEW: Final = 5  # seconds that `nbf` may lie ahead
MIN_KEY: Final = 32  # bytes
MOST_VALIDITY: Final = 100 * 365 * 86_400  # seconds; a longer life than anybody's
_ALGORITHMS: Final = ("HS256",)
_HEADER: Final = {"alg": "HS256", "typ": "JWT"}


class Claims(msgspec.Struct, frozen=True):
    """The claims that thingstead reads. Times in seconds."""

    appid: str
    exp: float
    iat: float | None = None
    nbf: float | None = None
    sub: str | None = None
    get_credentials: str | None = msgspec.field(default=None, name="getCredentials")


class Person(msgspec.Struct, frozen=True):
    """The claims of a token that says who somebody is (`passwordless`, and our ID tokens). Times in seconds."""

    exp: float
    nbf: float | None = None
    appid: str | None = None
    identifier: str | None = None
    email: str | None = None
    name: str | None = None
    picture: str | None = None
    groups: str | None = None


_claims = msgspec.json.Decoder(Claims)
_person = msgspec.json.Decoder(Person)
_T = TypeVar("_T")


def peek(token: str) -> Claims:
    """The claims, unverified: only to find out whose key must verify them. Raises InvalidToken."""
    return _decode(_claims, _payload(token))


def peek_person(token: str) -> Person:
    """The claims of a person's token, unverified, for the same purpose. Raises InvalidToken."""
    return _decode(_person, _payload(token))


def verify(token: str, key: str) -> Claims:
    """The claims of a token signed with `key`, at whatever time. Raises InvalidToken."""
    return _decode(_claims, _verified(token, key))


def verify_person(token: str, key: str) -> Person:
    """The claims of a person's token signed with `key`, at whatever time. Raises InvalidToken."""
    return _decode(_person, _verified(token, key))


def _payload(token: str) -> bytes:
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3:
        raise InvalidToken("not a token")
    try:
        return base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except (binascii.Error, ValueError):
        raise InvalidToken("not a token") from None


def _verified(token: str, key: str) -> bytes:
    from joserfc import jws  # here, because it takes a tenth of the start of a server
    from joserfc.errors import JoseError
    from joserfc.jwk import OctKey

    raw = key.encode()
    if len(raw) < MIN_KEY:
        raise InvalidToken("the key is too short to verify anything")
    try:
        return jws.deserialize_compact(token, OctKey.import_key(raw), algorithms=_ALGORITHMS).payload
    except (JoseError, ValueError):
        raise InvalidToken("altered, or signed with another key") from None


def check_time(claims: Claims | Person, now: float) -> None:
    """Refuse a token that is expired or not valid yet; `now` in seconds. Raises InvalidToken."""
    if claims.exp <= now:
        raise InvalidToken("expired", field="exp")
    if claims.nbf is not None and claims.nbf > now + SKEW:
        raise InvalidToken("not valid yet", field="nbf")


def _decode(decoder: msgspec.json.Decoder[_T], payload: bytes) -> _T:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidToken(f"unusable claims: {error}") from None


# --- issuing


class Life(NamedTuple):
    """How long a user's token lives, from `now` on (all in seconds, `refresh` in ms since the epoch)."""

    now: int
    expires: int
    refresh: int


def life(now_us: int, *, validity: int, interval: int) -> Life:
    """The life of a token that is valid for so many seconds; clients refresh it after `interval`, or half its life."""
    after_ms = validity * 500 if validity < 2 * interval else interval * 1000
    now = now_us // 1_000_000
    return Life(now, now + validity, now * 1000 + after_ms)


def validity(session_timeout: Json, of_app: Json, default: int) -> int:
    """Seconds that a user's token lives: the app's setting, else its field, else the default (identity.md 6.1)."""
    own = abs(number_of(session_timeout) or 0)
    seconds = own or max(0, number_of(of_app) or 0) or default
    return int(max(1, min(seconds, MOST_VALIDITY)))


def user_claims(user: str, appid: str, provider: str, life: Life) -> JsonObject:
    """The claims of a user's token, in their order."""
    return {
        "sub": user,
        "appid": appid,
        "idp": provider,
        "refresh": life.refresh,
        "nbf": life.now,
        "exp": life.expires,
        "iat": life.now,
    }


def super_claims(appid: str, *, now: int, expires: int) -> JsonObject:
    """The claims of an app's own token, in their order; times in seconds."""
    return {"appid": appid, "nbf": now, "exp": expires, "iat": now}


def id_claims(user: str, appid: str, about: JsonObject, *, now: int, expires: int) -> JsonObject:
    """The claims of an ID token (identity.md 6.5); `about` is name, email, identifier and picture."""
    return {"sub": user, "appid": appid, **about, "iat": now, "nbf": now, "exp": expires}


def issue(claims: JsonObject, key: str) -> str:
    """A token with these claims. Raises InvalidToken if the key is too short."""
    from joserfc import jws
    from joserfc.jwk import OctKey

    raw = key.encode()
    if len(raw) < MIN_KEY:
        raise InvalidToken("the key is too short to sign anything")
    return jws.serialize_compact(dict(_HEADER), dump(claims), OctKey.import_key(raw), algorithms=list(_ALGORITHMS))
