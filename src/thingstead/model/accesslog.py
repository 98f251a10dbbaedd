"""A line of the access log in the combined format (objects.md 19). Pure.

Promises: one line whatever the client sent, in printable ASCII; values of parameters that carry secrets are hidden. It
does not look into bodies and headers other than those of the format.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")
_SECRET: Final = re.compile(
    r"((?:^|[?&;])(?:[^=&;?]*(?:token|secret|password|passwd|signature|authorization|credential|verifier|jwt|api_?key|session)"
    r"[^=&;?]*|k|key|pass|code|sig|state|assertion|samlresponse)=)[^&;#]*",
    re.IGNORECASE,
)
MAX_FIELD: Final = 2_000
"""Characters of a target, referer or agent that are kept."""


def line(
    peer: str,
    at: int,
    method: str,
    target: str,
    version: str,
    status: int,
    size: int,
    referer: str,
    agent: str,
) -> str:
    """The line. `at` in seconds since the Unix epoch, `size` the body's bytes, `target` path and query as sent.

    >>> line("::1", 0, "GET", "/v1/a?token=x&q=y", "1.1", 200, 2, "", "me")
    '::1 - - [01/Jan/1970:00:00:00 +0000] "GET /v1/a?token=***&q=y HTTP/1.1" 200 2 "-" "me"'
    """
    target, referer = hidden(target), hidden(referer)
    if not _is_plain(target + method + referer + agent):  # most are, and one look at all costs less than four
        method, target, referer, agent = _plain(method), _plain(target), _plain(referer), _plain(agent)
    return (
        f'{peer or "-"} - - [{_stamp(at)}] "{method} {target} HTTP/{version}" {status} '
        f'{size or "-"} "{referer or "-"}" "{agent or "-"}"'
    )


def hidden(target: str) -> str:
    """A path and query without the values of parameters that carry secrets, however the names are spelled."""
    path, mark, query = target.partition("?")
    if not mark:
        return target
    if "%" in query:
        parts = query.split("&")
        query = "&".join(_hidden_part(part) for part in parts)
    return path + mark + _SECRET.sub(r"\1***", query)


def _hidden_part(part: str) -> str:
    name, equals, _ = part.partition("=")
    if equals and "%" in name and _SECRET.match(_decoded(name) + "="):
        return name + "=***"
    return part


def _decoded(name: str) -> str:
    return re.sub("%([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), name)


@lru_cache(maxsize=4)
def _stamp(at: int) -> str:
    time = datetime.fromtimestamp(at, UTC)
    return f"{time.day:02}/{_MONTHS[time.month - 1]}/{time:%Y:%H:%M:%S} +0000"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text and len(text) <= MAX_FIELD


def _plain(text: str) -> str:
    if _is_plain(text):
        return text
    return _UNSAFE.sub(_escaped, text[:MAX_FIELD]) + ("..." if len(text) > MAX_FIELD else "")


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode("latin-1", "replace"))
