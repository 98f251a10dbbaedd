"""A transport that sends what is written to it in one tick of the loop with one system call.

uvicorn writes each frame of a WebSocket by itself, and uvloop sends each at once; system calls are most of what a
small message costs. Promises: the same bytes in the same order; closing sends what is held first. Does not bound
anything: the transport below does, and pauses its protocol.
"""

import asyncio
from collections.abc import Iterable
from typing import Any


class Corked(asyncio.Transport):
    """See the module's docstring. `transport` is the one below."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send before the loop waits again."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """As `write`."""
        for data in list_of_data:
            self.write(data)

    def _send(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Send what is held and close."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what is held is lost."""
        self._held = []
        self._transport.abort()

    def write_eof(self) -> None:
        """Send what is held and end this direction."""
        self._send()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent yet."""
        return sum(map(len, self._held)) + self._transport.get_write_buffer_size()

    # --- the rest is the transport's

    def can_write_eof(self) -> bool:
        """As below."""
        return self._transport.can_write_eof()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As below."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As below."""
        return self._transport.get_write_buffer_limits()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As below."""
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """As below."""
        return self._transport.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """As below."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """As below."""
        return self._transport.get_protocol()

    def is_reading(self) -> bool:
        """As below."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """As below."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """As below."""
        self._transport.resume_reading()
