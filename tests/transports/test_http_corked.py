"""What a connection writes in one tick leaves in one piece, in order, and closing loses none of it."""

import asyncio
from collections.abc import Callable

import pytest

from support.aio import run
from thingstead.transports.http import Receive, Scope, Send
from thingstead.transports.http.corked import Corked
from thingstead.transports.http.serving import HttpListener


class Recorder(asyncio.Transport):
    """The transport below: what was written to it, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        self.writes.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = "eof"

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def get_write_buffer_size(self) -> int:
        return 100


def test_one_write_a_tick() -> None:
    async def work() -> None:
        below = Recorder()
        corked = Corked(below, asyncio.get_running_loop())
        corked.write(b"head ")
        corked.writelines([b"bo", bytearray(b"dy")])
        assert below.writes == []
        assert corked.get_write_buffer_size() == 109
        await asyncio.sleep(0)
        assert below.writes == [b"head body"]
        corked.write(b"next")
        await asyncio.sleep(0)
        assert below.writes == [b"head body", b"next"]
        assert corked.get_write_buffer_size() == 100

    run(work())


@pytest.mark.parametrize(
    ("end", "sent"),
    [(Corked.close, [b"last"]), (Corked.write_eof, [b"last"]), (Corked.abort, [])],
    ids=["close", "write_eof", "abort"],
)
def test_the_end_of_a_connection(end: Callable[[Corked], None], sent: list[bytes]) -> None:
    async def work() -> None:
        below = Recorder()
        corked = Corked(below, asyncio.get_running_loop())
        corked.write(b"last")
        end(corked)
        await asyncio.sleep(0)
        assert below.writes == sent
        assert below.ended

    run(work())


def test_pipelined_and_streamed_answers_arrive_in_order() -> None:
    """Over a real socket: two requests at once, each answered with a body in two pieces a while apart."""

    async def work() -> None:
        held = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
            await held.wait()
            await send({"type": "http.response.body", "body": b"cd"})

        listener = HttpListener(app, "127.0.0.1", 0)
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
        first = await reader.readuntil(b"\r\n\r\nab")  # not held back for the rest
        assert first.startswith(b"HTTP/1.1 200 ")
        held.set()
        assert await reader.readexactly(2) == b"cd"
        assert (await reader.readuntil(b"\r\n\r\nabcd")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await listener.close()

    run(work())
