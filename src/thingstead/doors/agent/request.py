"""What both HTTP ports of the agent door read of a request besides its body (agent.md 2.1)."""

from urllib.parse import parse_qsl

from thingstead.doors.fiware import header
from thingstead.transports.http import Scope


def headers_of(scope: Scope) -> dict[str, str]:
    """All headers, lower-case names, the first of each. `X-Auth-Token` stands in for a bearer token."""
    found: dict[str, str] = {}
    raw: list[tuple[bytes, bytes]] = scope["headers"]
    for key, value in raw:
        found.setdefault(key.decode("latin-1"), value.decode("latin-1"))
    if "authorization" not in found and found.get("x-auth-token"):
        found["authorization"] = f"Bearer {found['x-auth-token']}"
    return found


def query_of(scope: Scope) -> dict[str, str]:
    """The query; the first of each name."""
    raw: bytes = scope["query_string"]
    if b"%" in raw or b"+" in raw:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    else:  # the form that devices send, several times quicker
        parts = (part.partition("=") for part in raw.decode("latin-1").split("&") if part)
        pairs = [(name, value) for name, _, value in parts]
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def content_type(scope: Scope) -> str:
    """The media type of the body in lower case, "" if none is stated."""
    return header(scope, b"content-type").decode("latin-1").partition(";")[0].strip().lower()
