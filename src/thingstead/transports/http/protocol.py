"""The HTTP/1.1 protocol of our listeners: uvicorn's, corked, with bounded heads (identity.md 13).

Promises: what comes before a body is at most 64 KiB and is never held longer than that; what is no HTTP is answered 400
in JSON, like every other error.
"""

from typing import Any, Final

from thingstead.transports.http.corked import CorkedProtocol

MAX_HEAD: Final = 65_536  # bytes of request line and header fields
_GOODBYE_SECONDS: Final = 0.2
_TOO_LONG: Final = f"the request line and header fields are longer than {MAX_HEAD} bytes"


class BoundedProtocol(CorkedProtocol):
    """See the module's docstring."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head = 0  # bytes of the head that came in earlier reads
        self._read = 0  # bytes of this read
        self._refusal = ""  # what to say instead of what the parser says

    def data_received(self, data: bytes) -> None:
        self._read = len(data)
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.send_400_response(_TOO_LONG)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        # a read may hold a body as well: counted only where it is long enough to matter
        if self._head + self._read > MAX_HEAD:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEAD:
                self._refusal = _TOO_LONG
                raise ValueError(_TOO_LONG)  # seen by the parser's caller as a request that is none
        super().on_headers_complete()

    def shutdown(self) -> None:
        """End an idle connection now, a busy one after its answer. A TLS peer may never say goodbye: not waited for."""
        super().shutdown()
        if self.scheme == "https" and self.transport.is_closing():
            self.loop.call_later(_GOODBYE_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        body = b'{"code":400,"message":"%b"}' % (self._refusal or msg).encode()
        fields = [*self.server_state.default_headers, (b"content-type", b"application/json")]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        head = b"HTTP/1.1 400 Bad Request\r\n%bcontent-length: %d\r\nconnection: close\r\n\r\n" % (lines, len(body))
        self.transport.write(head + body)
        self.transport.close()
