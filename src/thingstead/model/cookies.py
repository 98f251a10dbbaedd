"""Cookies as header text (identity.md 9): reading what a browser sends, writing what it is to keep. Pure.

Promises: a name or value that could say anything but itself in a header is refused; of cookies of one name the first
counts, as browsers send the one of the longest path first.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

SameSite: TypeAlias = Literal["Lax", "None", ""]

MAX_COOKIES: Final = 64
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]*")


def parsed(headers: Iterable[str]) -> dict[str, str]:
    """The cookies of `Cookie` headers by name; at most `MAX_COOKIES`.

    >>> parsed(['a=1; b="2"; a=3'])
    {'a': '1', 'b': '2'}
    """
    found: dict[str, str] = {}
    for part in ";".join(headers).split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name and name not in found and len(found) < MAX_COOKIES:
            found[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return found


def usable(name: str) -> bool:
    """Whether a cookie can have this name."""
    return _NAME.fullmatch(name) is not None


def kept(
    name: str,
    value: str,
    *,
    secure: bool,
    max_age: int | None = None,
    readable: bool = False,
    same_site: SameSite = "Lax",
) -> str:
    """The `Set-Cookie` text; without `max_age` (seconds) it lasts as long as the browser's session.

    `readable`: scripts of the page may read it. Raises ValueError for a name or value that does not fit.

    >>> kept("para-auth", "ey.x.y", secure=True, max_age=60)
    'para-auth=ey.x.y; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure'
    """
    if not usable(name) or not _VALUE.fullmatch(value):
        raise ValueError("a cookie's name and value are visible ASCII without separators")
    parts = [f"{name}={value}", "Path=/"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if not readable:
        parts.append("HttpOnly")
    if same_site:
        parts.append(f"SameSite={same_site}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)


def ended(name: str, *, secure: bool) -> str:
    """The `Set-Cookie` text that makes a browser forget a cookie."""
    return kept(name, "", secure=secure, max_age=0)
