"""Passwords and what stands in for them (identity.md 7.4, 7.5, 8.8): what is hashed, locks, one-time tokens.

Pure: hashing itself, which takes a quarter of a second, is core/passwords' part.
"""

import base64
import hashlib
import hmac
import re
from typing import Final, Literal, NamedTuple

from thingstead.model.values import Json

COST: Final = 12  # of new hashes
MOST_COST: Final = 16  # of hashes that are checked at all: each step doubles the time, and 16 takes seconds
LONGEST: Final = 5_000  # characters of a password
_BCRYPT_BYTES: Final = 72
_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_STANDARD: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TO_BCRYPT: Final = str.maketrans(_STANDARD, _BCRYPT)

HASH: Final = "password"
LOCKED_UNTIL: Final = "lockedUntil"
FAILURES: Final = "failures"
RESET: Final = "token"
CONFIRM: Final = "etoken"
Purpose = Literal["token", "etoken"]
"""Property of an identifier object that a one-time token stands in: reset of a password, confirmation of an address."""
SECRET: Final = frozenset({HASH, RESET, CONFIRM, LOCKED_UNTIL})
"""Members of identifier objects that only apps may see, and that no search finds (identity.md 7.2)."""

ONE_TIME_BYTES: Final = 42
UNKNOWN_BYTES: Final = 39  # random ones that make a hash whose password nobody knows


class Given(NamedTuple):
    """What the token of the provider `password` says (identity.md 8.8)."""

    email: str  # in lower case
    name: str
    password: str


def parse_token(token: str) -> Given | None:
    """`email:name:password`, split at the first two colons; None if the address or the password is blank.

    >>> parse_token("Jane@Example.com::se:cret")
    Given(email='jane@example.com', name='', password='se:cret')
    """
    email, _, rest = token.partition(":")
    name, _, password = rest.partition(":")
    email = email.strip().lower()
    return Given(email, name.strip(), password) if email and password.strip() else None


def acceptable(password: str, shortest: int) -> bool:
    """Whether a text may become a password."""
    return bool(password.strip()) and shortest <= len(password) <= LONGEST


def hashed_text(password: str) -> bytes:
    """What bcrypt is given: it takes 72 bytes, so a longer password is its SHA-256 in Base64."""
    raw = password.encode(errors="surrogatepass")
    return raw if len(raw) <= _BCRYPT_BYTES else base64.b64encode(hashlib.sha256(raw).digest())


def cost_of(hash: str) -> int:
    """The cost of a bcrypt hash, 0 for what is none or would take too long to check."""
    found = _HASH.fullmatch(hash)
    cost = int(found[1]) if found else 0
    return cost if 4 <= cost <= MOST_COST else 0


def unknown_hash(random: bytes) -> str:
    """A hash whose password nobody knows, made of `UNKNOWN_BYTES` random bytes without hashing anything."""
    return f"$2b${COST}${_base64(random[:16])}{_base64(random[16:UNKNOWN_BYTES])}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=").translate(_TO_BCRYPT)


# --- the lock after too many wrong passwords (identity.md 7.4)


def locked(lock: Json, now_ms: int) -> bool:
    """Whether a lock holds now: the member `lockedUntil` of an identifier object, ms."""
    return isinstance(lock, (int, float)) and not isinstance(lock, bool) and lock > now_ms


def failed_once_more(failures: Json, now_ms: int, *, most: int, hours: int) -> tuple[int, int | None]:
    """(failures, locked until) after one more wrong password; the counter begins anew with each lock."""
    before = failures if isinstance(failures, int) and not isinstance(failures, bool) else 0
    return (0, now_ms + hours * 3_600_000) if before + 1 >= most else (before + 1, None)


# --- one-time tokens (identity.md 7.5)


def one_time(random: bytes) -> str:
    """A token of `ONE_TIME_BYTES` random bytes, to be sent to a person."""
    return base64.urlsafe_b64encode(random).decode().rstrip("=")


def kept(token: str, expires_ms: int) -> str:
    """What is stored of a token: when it expires, and its SHA-256."""
    return f"{expires_ms}.{hashlib.sha256(token.encode(errors='surrogatepass')).hexdigest()}"


def holds(stored: Json, token: str, now_ms: int) -> bool:
    """Whether a token is the one that `stored` was made of, and has not expired."""
    if not isinstance(stored, str) or not token:
        return False
    expires, _, digest = stored.partition(".")
    given = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
    same = hmac.compare_digest(given.encode(), digest.encode())
    return same and expires.isascii() and expires.isdecimal() and len(expires) < 20 and int(expires) > now_ms
