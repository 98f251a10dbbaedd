"""WebSockets of our listeners: uvicorn's protocol, which a refused handshake does not keep from being shut down, and
which keeps the place of the connection that it began as until it ends."""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """See the module's docstring; `left` is told when it is over."""

    def __init__(self, *args: Any, left: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(exc)
        self._left()

    def shutdown(self) -> None:
        """See uvicorn: the server ends. What has been answered and is waited for no longer is just closed."""
        if self.conn.eof_sent and not self.handshake_complete:
            self.transport.close()
        else:
            super().shutdown()
