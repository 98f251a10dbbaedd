"""Requests over a real socket are answered as HTTP/1.1 says, one after the other, whatever the app or the peer does."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from support.aio import run
from thingstead.transports.http import Receive, Scope, Send
from thingstead.transports.http.serving import HttpListener

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
SECONDS = 10
HEAD = [(b"content-length", b"2")]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, the query and the body, in a body of known length; streams it at `/stream`."""
    body = b""
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        more = message["more_body"]
    text = b"%b %b?%b %b" % (scope["method"].encode(), scope["raw_path"], scope["query_string"], body)
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (text, b"", b"end"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        return
    fields = [(b"Content-Length", b"%d" % len(text))]
    if scope["path"] == "/close":
        fields.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": text})


def talk(
    app: Any, work: Callable[[Reader, Writer, HttpListener], Coroutine[Any, Any, None]], *, idle_seconds: float = 5
) -> list[Any]:
    """What the listener told of answers: (path, status, bytes)."""
    told: list[Any] = []

    async def main() -> None:
        listener = HttpListener(
            app,
            "127.0.0.1",
            0,
            answered=lambda scope, status, size: told.append((scope["path"], status, size)),
            idle_seconds=idle_seconds,
        )
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(SECONDS):
            await work(reader, writer, listener)
        writer.close()
        await listener.close()

    run(main())
    return told


async def answer(reader: Reader) -> tuple[bytes, bytes]:
    """The head of an answer, in lower case, and its body of known length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        (b"/a%2Fb?q=%20", b"GET /a%2Fb?q=%20 "),
        (b"/a#b", b"GET /a? "),
        (b"http://other/a?b", b"GET /a?b "),
        (b"//a", b"GET //a? "),
        (b"/?", b"GET /? "),
    ],
)
def test_targets(target: bytes, seen: bytes) -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
        assert (await answer(reader))[1] == seen

    talk(echo, work)


def test_a_body_in_pieces_and_more_requests_at_once() -> None:
    async def work(reader: Reader, writer: Writer, listener: HttpListener) -> None:
        writer.write(b"POST /1 HTTP/1.1\r\nHost: h\r\ncontent-length: 6\r\n\r\nabc")
        await asyncio.sleep(0.05)
        writer.write(b"def" + b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in (2, 3, 4)))
        assert [(await answer(reader))[1] for _ in range(4)] == [
            b"POST /1? abcdef",
            b"GET /2? ",
            b"GET /3? ",
            b"GET /4? ",
        ]
        assert listener.requests == 4
        assert listener.seconds > 0

    assert talk(echo, work) == [("/1", 200, 15), ("/2", 200, 8), ("/3", 200, 8), ("/4", 200, 8)]


def test_a_long_body_waits_until_it_is_asked_for() -> None:
    body = bytes(range(256)) * 8_192  # 2 MiB, chunked

    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 50_000):
            piece = body[at : at + 50_000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await answer(reader))[1] == b"PUT /? " + body
        assert (await answer(reader))[1] == b"GET /next? "

    talk(echo, work)


def test_a_stream_of_unknown_length() -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b"transfer-encoding: chunked\r\n" in head
        assert await reader.readuntil(b"0\r\n\r\n") == b"d\r\nGET /stream? \r\n3\r\nend\r\n0\r\n\r\n"

    talk(echo, work)


def test_head_has_no_body() -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"content-length: 9\r\n" in (await reader.readuntil(b"\r\n\r\n")).lower()
        assert (await answer(reader))[1] == b"GET /b? "

    talk(echo, work)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", True),
        (b"GET /close HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", False),
    ],
    ids=["1.0", "asked", "said", "kept"],
)
def test_who_closes(request_: bytes, told: bool) -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(request_)
        head, _body = await answer(reader)
        assert (b"connection: close\r\n" in head) == told
        assert head.count(b"connection:") == told
        if told:
            assert await reader.read() == b""

    talk(echo, work)


def test_who_waits_for_100_continue_gets_it() -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await answer(reader))[1] == b"POST /? ok"

    talk(echo, work)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"type": "http.response.body", "body": b"early"}],
        [{"type": "http.response.start", "status": 200, "headers": HEAD}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"a: b", b"c")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"", b"c")]}],
        [
            {"type": "http.response.start", "status": 200, "headers": HEAD},
            {"type": "http.response.body", "body": b"long"},
        ],
        [{"type": "http.response.start", "status": 200, "headers": HEAD}, {"type": "http.response.body", "body": b"s"}],
    ],
    ids=["nothing", "no start", "no body", "injected", "bad name", "no name", "too long", "too short"],
)
def test_an_app_that_answers_wrongly_is_a_500(messages: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        head, body = await answer(reader)
        assert head.startswith(b"http/1.1 500 ")
        assert body == b'{"code":500,"message":"Internal Server Error"}'
        assert await reader.read() == b""

    with caplog.at_level(logging.CRITICAL, "thingstead.transports.http.exchange"):
        told = talk(app, work)
    assert told[-1] == ("/x", 500, 46)


def test_an_app_that_fails_in_the_middle_breaks_the_answer_off(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ValueError("in the middle")

    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\na")

    with caplog.at_level(logging.CRITICAL, "thingstead.transports.http.exchange"):
        talk(app, work)


def test_an_app_hears_of_a_client_that_has_gone() -> None:
    heard = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})  # to nobody
        await send({"type": "http.response.body", "body": b"ok"})
        heard.set()

    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await heard.wait()

    assert talk(app, work) == [("/x", 200, 2)]


def test_a_client_that_does_not_read_is_waited_for() -> None:
    piece = bytes(1_000_000)
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = [(b"content-length", b"%d" % (40 * len(piece)))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for n in range(40):
            await send({"type": "http.response.body", "body": piece, "more_body": n < 39})
            sent.append(n)

    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.3)
        assert len(sent) < 39
        assert len((await answer(reader))[1]) == 40 * len(piece)

    talk(app, work)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(float(scope["query_string"]))
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        await send({"type": "http.response.body", "body": b"ok"})

    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        loop = asyncio.get_running_loop()
        for seconds in (0, 0.5, 0):
            writer.write(b"GET /x?%f HTTP/1.1\r\nHost: h\r\n\r\n" % seconds)
            assert (await answer(reader))[1] == b"ok"
        began = loop.time()
        assert await reader.read() == b""
        assert 0.1 < loop.time() - began < SECONDS

    talk(app, work, idle_seconds=0.2)


@pytest.mark.parametrize(
    "sent",
    [b"what is this\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"],
    ids=["no HTTP", "no name", "long"],
)
def test_what_is_no_request_is_a_400(sent: bytes) -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(sent)
        head, body = await answer(reader)
        assert head.startswith(b"http/1.1 400 ")
        assert b"connection: close" in head
        assert body.startswith(b'{"code":400,"message":"')
        assert await reader.read() == b""

    assert talk(echo, work) == []


UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_what_cannot_be_a_handshake_is_a_request_like_others(method: bytes) -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(method + b" /x HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 2\r\n\r\n{}")
        head, body = await answer(reader)
        assert head.startswith(b"http/1.1 200 ")
        assert body == method + b" /x? {}"

    assert talk(echo, work) == [("/x", 200, len(method) + 7)]


def test_a_listener_ends_while_a_refused_handshake_is_still_open() -> None:
    async def work(reader: Reader, writer: Writer, _: HttpListener) -> None:
        writer.write(b"GET /x HTTP/1.1\r\n" + UPGRADE + b"\r\n")  # neither key nor version
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

    assert talk(echo, work) == []
