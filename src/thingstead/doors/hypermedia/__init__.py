"""The hypermedia door: Chain's resources, forms and streams (hypermedia.md), at `/` and `/chain/{app}/`.

`app(backend)` makes it. It reads raw paths, so it is mounted by passing the scope on unchanged. Whoever serves it calls
`close()` before the listener closes, so that streams end with 1001.
"""

from datetime import UTC
from zoneinfo import ZoneInfo

from thingstead.core.backend import Backend
from thingstead.doors.gate import Gate
from thingstead.doors.hypermedia.request import Bases
from thingstead.doors.hypermedia.routes import Requests
from thingstead.doors.hypermedia.streams import Streams
from thingstead.model.hypermedia.forms import Reader
from thingstead.transports.http import Receive, Scope, Send


class Door:
    """An ASGI app for HTTP requests and WebSocket handshakes."""

    def __init__(self, backend: Backend) -> None:
        """Raises ValueError for `trusted_proxies` that name no address, ZoneInfoNotFoundError for `chain.timezone`."""
        zone = backend.settings.chain_timezone
        bases = Bases(backend.settings.trusted_proxies)
        gate = Gate(backend, "hypermedia")
        self._requests = Requests(backend, gate, bases, Reader(UTC if zone == "UTC" else ZoneInfo(zone)))
        self._streams = Streams(backend, gate, bases)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection."""
        if scope["type"] == "websocket":
            await self._streams(scope, receive, send)
        else:
            await self._requests(scope, receive, send)

    async def close(self) -> None:
        """End all streams."""
        await self._streams.close()


def app(backend: Backend) -> Door:
    """The door over a backend."""
    return Door(backend)
