"""WebSockets of our listeners: uvicorn's protocol, which a refused handshake does not keep from being shut down."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """See the module's docstring."""

    def shutdown(self) -> None:
        """See uvicorn: the server ends. What has been answered and is waited for no longer is just closed."""
        if self.conn.eof_sent and not self.handshake_complete:
            self.transport.close()
        else:
            super().shutdown()
