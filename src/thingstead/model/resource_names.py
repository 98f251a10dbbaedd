"""The names of resources in `_permissions` paths: Base64url, as clients send them, or percent-encoded (identity.md
10.6). Pure.

Promises: whatever printable path a client encoded in Base64 comes out; so does one that was only percent-encoded,
unless it is itself the Base64 of some printable text.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from thingstead.model.errors import InvalidInput
from thingstead.model.permissions import stripped

_SIGNS: Final = frozenset("_-.:*/")


def resource_of(segment: str, is_type: Callable[[str], bool]) -> str:
    """The resource that a path segment, percent-decoded once, means. `is_type`: whether a word names a type.

    Raises InvalidInput for one that means nothing.
    """
    decoded = _decoded(segment)
    if decoded is not None and segment == segment.lower() and (is_type(segment) or not _is_plain(decoded)):
        decoded = None  # a plain word that happens to be Base64
    try:
        path = unquote(segment if decoded is None else decoded, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("the resource is not UTF-8", field="resource") from None
    path = stripped(path)
    if not path.strip() or not path.isprintable():
        raise InvalidInput("the resource is blank or holds control characters", field="resource")
    return path


def _is_plain(path: str) -> bool:
    return all(c.isalnum() or c in _SIGNS for c in path)


def encoded(path: str) -> str:
    """A path as clients send it: Base64url without padding."""
    return base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")


def _decoded(segment: str) -> str | None:
    """The text of canonical Base64, URL-safe or standard, padded or not; None if it is none."""
    bare = segment.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    if not bare or len(bare) % 4 == 1 or segment not in (bare, padded):
        return None
    alternative = b"-_" if "-" in bare or "_" in bare else b"+/"
    try:
        raw = base64.b64decode(padded.encode("ascii"), altchars=alternative, validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    return text if text.isprintable() and base64.b64encode(raw, alternative).decode() == padded else None
