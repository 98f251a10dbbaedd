"""Signatures of requests: AWS Signature Version 4 with region `us-east-1` and service `para` (identity.md 4). Pure.

Promises: exactly the canonical form of identity.md 4.2, compared in constant time. Does not know apps, clocks or
windows of validity, and never trusts a hash that the client states: the body's own bytes are hashed.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

from thingstead.model.uris import query_pairs

SCHEME: Final = "AWS4-HMAC-SHA256"
_SCOPE: Final = "us-east-1/para/aws4_request"
_PART = re.compile(r"([A-Za-z]+)=([^,\s]*)")
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-_.~]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-_.~/]*")
_ENDS_IN_PORT = re.compile(r":(80|443)$")
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()


class Authorization(msgspec.Struct, frozen=True):
    """What an `Authorization: AWS4-HMAC-SHA256 ...` header states."""

    access_key: str
    date: str  # yyyymmdd
    scope: str  # what follows the date in the credential
    headers: tuple[str, ...]  # names of the signed ones, in lower case and sorted
    signature: str


def parse_authorization(text: str) -> Authorization | None:
    """The parts of the header's value, by name in any order; None if one is missing."""
    head, found, signature = text.rpartition("Signature=")
    if found and _SIGNATURE.fullmatch(signature):  # it stands last as a rule, and what is before it stays for a day
        stated = _stated(head + "Signature=-")
        return None if stated is None else Authorization(*stated, signature)
    stated = _stated(text)
    return None if stated is None else Authorization(*stated, dict(_PART.findall(text))["Signature"])


@lru_cache(maxsize=4096)
def _stated(text: str) -> tuple[str, str, str, tuple[str, ...]] | None:
    """All but the signature."""
    if not text.startswith(SCHEME):
        return None
    parts: dict[str, str] = dict(_PART.findall(text))
    access_key, _, scope = parts.get("Credential", "").partition("/")
    date, _, rest = scope.partition("/")
    names = parts.get("SignedHeaders", "")
    signature = parts.get("Signature", "")
    if not (access_key and date and names and signature):
        return None
    return access_key, date, rest, tuple(sorted(name.strip().lower() for name in names.split(";")))


@lru_cache(maxsize=64)
def time_of(stamp: str) -> int | None:
    """Seconds since the Unix epoch of `yyyymmddThhmmssZ`; None if it is no such time."""
    if not _STAMP.fullmatch(stamp):
        return None
    try:
        return int(datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def signing_key(secret: str, date: str) -> bytes:
    """The key that signs the requests of one day."""
    key = ("AWS4" + secret).encode()
    for part in (date, "us-east-1", "para", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def canonical_path(raw_path: str) -> str:
    """The path as sent, encoded once more; what is escaped already becomes doubly escaped."""
    if not raw_path:
        return "/"
    return raw_path if _PLAIN_PATH.fullmatch(raw_path) else quote(raw_path, safe="/-_.~")


def canonical_query(raw_query: str) -> str:
    """The query with the first value of each name, encoded anew and sorted."""
    if not raw_query:
        return ""
    first: dict[str, str] = {}
    for name, value in query_pairs(raw_query):
        first.setdefault(name, value)
    pairs = sorted([(_quoted(name), _quoted(value)) for name, value in first.items()])
    return "&".join([f"{name}={value}" for name, value in pairs])


def _quoted(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="-_.~")


def twice_encoded_query(raw_query: str) -> str | None:
    """The form that Para's Python client signs when a name occurs more than once, else None (identity.md 4.2)."""
    first: dict[str, str] = {}
    repeated = False
    for part in raw_query.split("&"):
        name, _, value = part.partition("=")
        if not name:
            continue
        repeated = repeated or name in first
        first.setdefault(name, value)
    if not repeated:
        return None
    return "&".join(sorted(f"{name}={quote_plus(value).replace('+', '%20')}" for name, value in first.items()))


def _hosts(host: str, forwarded: str) -> Iterator[str]:
    # Clients and proxies disagree on whether a default port belongs to the host they sign.
    for given in (host, forwarded):
        if given:
            yield given
            bare = _ENDS_IN_PORT.sub("", given)
            if bare != given:
                yield bare
            elif ":" not in given.rpartition("]")[2]:
                yield f"{given}:80"
                yield f"{given}:443"


def _canonical_headers(names: Sequence[str], headers: Mapping[str, str]) -> str:
    return "".join([f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names])


def canonical_request(
    method: str, path: str, query: str, names: Sequence[str], headers: Mapping[str, str], body_hash: str
) -> str:
    """The text whose hash is signed; `path` and `query` in their canonical forms, `names` sorted and in lower case."""
    return "\n".join((method, path, query, _canonical_headers(names, headers), ";".join(names), body_hash))


def sign(key: bytes, stamp: str, canonical: str) -> str:
    """The signature (64 hex digits) of a canonical request under the key of its day."""
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{SCHEME}\n{stamp}\n{stamp[:8]}/{_SCOPE}\n{hashed}"
    signer = _keyed(key).copy()
    signer.update(text.encode())
    return signer.hexdigest()


@lru_cache(maxsize=4096)
def _keyed(key: bytes) -> hmac.HMAC:
    """An HMAC that has taken its key: a copy costs less than taking it again."""
    return hmac.new(key, digestmod="sha256")


def signed_text(
    given: Authorization,
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    body: bytes,
    body_hash: str = "",
) -> str:
    """The canonical request that `verified` tries first, for somebody who compares it with a client's. No secret."""
    names = given.headers
    body_hash = body_hash or hashlib.sha256(body).hexdigest()
    return canonical_request(method, canonical_path(raw_path), canonical_query(raw_query), names, headers, body_hash)


def verified(
    given: Authorization,
    secret: str,
    *,
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    body: bytes,
    body_hash: str = "",
    forwarded_host: str = "",
) -> bool:
    """True if `given` is the signature of this request under `secret`. `headers` have lower-case names, first values.
    `body_hash`: the SHA-256 (hex) of a body that is not here.

    Tried in turn: the host as sent, with its default port added or removed, the forwarded one; each with the query as
    specified and as the Python client encodes repeated names.
    """
    stamp = headers.get("x-amz-date", "").strip()
    names = given.headers
    if given.scope != _SCOPE or given.date != stamp[:8] or "host" not in names or "x-amz-date" not in names:
        return False
    key = signing_key(secret, given.date)
    path = canonical_path(raw_path)
    body_hash = body_hash or (hashlib.sha256(body).hexdigest() if body else _EMPTY_HASH)
    queries = [canonical_query(raw_query)]
    wanted = given.signature.encode()
    canonical = canonical_request(method, path, queries[0], names, headers, body_hash)
    if hmac.compare_digest(sign(key, stamp, canonical).encode(), wanted):
        return True
    twice = twice_encoded_query(raw_query)
    if twice is not None:
        queries.append(twice)
    for host in _hosts(headers.get("host", ""), forwarded_host):
        changed = {**headers, "host": host}
        for query in queries:
            canonical = canonical_request(method, path, query, names, changed, body_hash)
            if hmac.compare_digest(sign(key, stamp, canonical).encode(), wanted):
                return True
    return False
