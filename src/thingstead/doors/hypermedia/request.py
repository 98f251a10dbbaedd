"""What a request or handshake addresses: path, app, and the base that its client sees (hypermedia.md 1.1, 20).

Repeated slashes count as one; segments are decoded one by one, so that an id may hold an encoded slash. Forwarded hosts
and schemes count only where the peer is a trusted proxy.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from thingstead.model.hypermedia import links
from thingstead.model.hypermedia.links import Base
from thingstead.transports.http import Scope, TrustedProxies, client_address

_SLASHES: Final = re.compile(r"/{2,}")
_ALIASES: Final = {
    "scalar_sensors": "sensors",
    "sensor": "sensors",
    "scalar_data": "sensordata",
}


class Target(msgspec.Struct, frozen=True):
    """A path: `app` is None at the bare root; `prefix` is what hrefs carry; `segments` end in "" after a slash."""

    app: str | None
    prefix: str
    segments: tuple[str, ...]


def target(scope: Scope) -> Target:
    """What the path of a scope names, with the other names of collections turned into the ones used here."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = _SLASHES.sub("/", raw.decode("latin-1"))
    segments = [unquote(segment) for segment in path.removeprefix("/").split("/")]
    app: str | None = None
    prefix = ""
    if segments[0] == "chain" and len(segments) > 1 and segments[1]:
        app = segments[1]
        prefix = f"/chain/{links.encode(app)}"
        segments = segments[2:]
    if segments:
        segments[0] = _ALIASES.get(segments[0], segments[0])
    return Target(app, prefix, tuple(segments))


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers by lower-case name; of a repeated one the first, of Accept all."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name not in found:
            found[name] = value
        elif name == "accept":
            found[name] += "," + value
    return found


class Bases:
    """Makes the base of a request."""

    def __init__(self, trusted_proxies: str) -> None:
        """`trusted_proxies` is a comma list of addresses or networks. Raises ValueError for what is none."""
        self._proxies = TrustedProxies(trusted_proxies)

    def of(self, scope: Scope, headers: Mapping[str, str], prefix: str) -> Base:
        """The base that the client of this request or handshake sees. Raises InvalidInput for an impossible Host."""
        scheme, host = client_address(scope, headers, self._proxies)
        return links.base(scheme, host, scope.get("root_path", "") + prefix)
