"""Promise: a listener takes so many connections, and so many of one address; who stops reading an answer is cut off; a
WebSocket keeps its place until it ends (docs/reference/limits.md). Slow heads and bodies: tests/test_limits.py."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import connect

from support.aio import run
from thingstead.transports.http import Receive, Scope, Send, TrustedProxies, send_answer
from thingstead.transports.http.guard import Bounds
from thingstead.transports.http.serving import HttpListener
from transports.mqtt_harness import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OPENED: list[asyncio.StreamWriter] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers; `/much` more than anybody's buffers hold, WebSockets until they end."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["path"] == "/much":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send_answer(send, 200, b"{}")


@asynccontextmanager
async def serving(proxies: str = "", **bounds: float) -> AsyncIterator[HttpListener]:
    listener = HttpListener(app, "127.0.0.1", 0, bounds=Bounds(**bounds), proxies=TrustedProxies(proxies))  # type: ignore[arg-type]
    await listener.start()
    try:
        yield listener
    finally:
        while OPENED:
            writer = OPENED.pop()
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
        await listener.close()


async def asked(listener: HttpListener, path: str = "/") -> tuple[bytes, Streams]:
    """The beginning of an answer, and the connection, which stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    OPENED.append(writer)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    return await reader.read(4096), (reader, writer)


def test_connections() -> None:
    async def main() -> None:
        async with serving(connections=2) as listener:
            kept = [await asked(listener) for _ in range(2)]
            assert all(answer.startswith(b"HTTP/1.1 200 ") for answer, _ in kept)
            beyond, _ = await asked(listener)
            assert beyond.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 5\r\n" in beyond
            kept[0][1][1].close()
            await until(lambda: listener.guard.places.open == 1)
            assert (await asked(listener))[0].startswith(b"HTTP/1.1 200 ")
            assert listener.guard.places.full == 1

    run(main())


def test_connections_of_an_address() -> None:
    async def main() -> None:
        async with serving(of_address=1) as listener:
            assert (await asked(listener))[0].startswith(b"HTTP/1.1 200 ")
            beyond, _ = await asked(listener)
            assert beyond.startswith(b"HTTP/1.1 429 ")
            assert b"\r\nretry-after: 5\r\n" in beyond
            assert listener.guard.places.crowded == 1
        async with serving("127.0.0.1", of_address=1) as behind:  # a proxy brings everybody
            for _ in range(3):
                assert (await asked(behind))[0].startswith(b"HTTP/1.1 200 ")
        async with serving(of_address=-1) as lenient:
            for _ in range(3):
                assert (await asked(lenient))[0].startswith(b"HTTP/1.1 200 ")

    run(main())


def test_a_websocket_has_a_place() -> None:
    async def main() -> None:
        async with serving(connections=1) as listener:
            url = f"ws://127.0.0.1:{listener.port}/"
            async with connect(url):
                assert listener.guard.places.open == 1
                assert (await asked(listener))[0].startswith(b"HTTP/1.1 503 ")
            await until(lambda: listener.guard.places.open == 0)
            async with connect(url):
                pass

    run(main())


def test_who_does_not_read_its_answer_is_cut_off() -> None:
    async def main() -> None:
        async with serving(idle=0.2) as listener:
            _, (reader, writer) = await asked(listener, "/much")
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: listener.guard.idled == 1)
            await until(lambda: listener.guard.places.open == 0)
            writer.transport.abort()

    run(main())
