"""Gzip changes nothing but the bytes on the way: who does not ask gets what was there, pieces leave as they come."""

import asyncio
import gzip
import zlib
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from support.aio import run
from support.client import Client
from support.listening import listening
from support.server import Server
from thingstead.doors import objects
from thingstead.transports.http.gzip import SMALLEST, accepts_gzip, gzipped

JSON = [(b"content-type", b"application/json")]
LONG = b"hello world " * 200
Message = dict[str, Any]


def answered(
    pieces: list[bytes], *, accept: bytes | None = b"gzip", status: int = 200, headers: Any = None
) -> list[Message]:
    """The messages that a client with this Accept-Encoding gets of an app that answers in these pieces."""
    fields = list(JSON if headers is None else headers)
    if len(pieces) == 1:
        fields.append((b"content-length", b"%d" % len(pieces[0])))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        for n, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": n + 1 < len(pieces)})

    sent: list[Message] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody asked")

    asked = [] if accept is None else [(b"accept-encoding", accept)]
    run(gzipped(app)({"type": "http", "headers": asked}, receive, send))
    return sent


def named(message: Message) -> dict[bytes, bytes]:
    return dict(message["headers"])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"gzip", True),
        (b"gzip, deflate, br", True),
        (b"GZIP;q=0.5", True),
        (b"*", True),
        (b"br;q=1, *;q=0.1", True),
        (b"x-gzip", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000, *", False),
        (b"*;q=0", False),
        (b"identity", False),
        (b"br", False),
        (b"", False),
        (b"gzip;q=x", False),
        (b"gzipped", False),
        (b"\xff", False),
    ],
)
def test_who_takes_gzip(value: bytes, wanted: bool) -> None:
    assert accepts_gzip([(b"accept-encoding", value)]) is wanted
    assert not accepts_gzip([])


def test_a_long_answer_is_compressed_and_says_so() -> None:
    start, body = answered([LONG])
    assert gzip.decompress(body["body"]) == LONG
    fields = named(start)
    assert fields[b"content-encoding"] == b"gzip"
    assert fields[b"content-length"] == b"%d" % len(body["body"])
    assert fields[b"vary"] == b"Accept-Encoding"
    assert len(body["body"]) < len(LONG)


def test_who_does_not_ask_gets_what_was_there_and_vary() -> None:
    for accept in (None, b"identity", b"gzip;q=0"):
        start, body = answered([LONG], accept=accept)
        assert body["body"] == LONG
        assert b"content-encoding" not in named(start)
        assert named(start)[b"content-length"] == b"%d" % len(LONG)
        assert named(start)[b"vary"] == b"Accept-Encoding"


@pytest.mark.parametrize(
    ("pieces", "status", "headers"),
    [
        ([b"x" * (SMALLEST - 1)], 200, JSON),
        ([b""], 204, []),
        ([b""], 304, JSON),
        ([LONG], 206, JSON),
        ([LONG], 200, [*JSON, (b"content-encoding", b"br")]),
        ([LONG], 200, [*JSON, (b"content-range", b"bytes 0-1/2")]),
        ([LONG], 200, [*JSON, (b"cache-control", b"no-store")]),
        ([LONG], 200, [*JSON, (b"cache-control", b"private, no-transform")]),
        ([LONG], 200, [(b"content-type", b"application/zip")]),
        ([LONG], 200, [(b"content-type", b"image/png")]),
        ([LONG], 200, []),
    ],
)
def test_what_is_left_alone(pieces: list[bytes], status: int, headers: Any) -> None:
    start, body = answered(pieces, status=status, headers=headers)
    assert body["body"] == pieces[0]
    assert named(start).get(b"content-encoding") in (None, b"br")
    assert b"vary" not in named(start)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(b"vary", b"Origin")], b"Origin, Accept-Encoding"),
        ([(b"Vary", b"Accept"), (b"vary", b"Origin")], b"Accept, Origin, Accept-Encoding"),
        ([(b"vary", b"accept-encoding")], b"accept-encoding"),
        ([(b"vary", b"*")], b"*"),
    ],
)
def test_vary_keeps_what_it_had(before: Any, after: bytes) -> None:
    start, _ = answered([LONG], headers=[*JSON, *before])
    assert named(start)[b"vary"] == after


def test_a_strong_tag_becomes_weak() -> None:
    assert named(answered([LONG], headers=[*JSON, (b"etag", b'"1"')])[0])[b"etag"] == b'W/"1"'
    assert named(answered([LONG], headers=[*JSON, (b"etag", b'W/"1"')])[0])[b"etag"] == b'W/"1"'
    assert named(answered([LONG], accept=None, headers=[*JSON, (b"etag", b'"1"')])[0])[b"etag"] == b'"1"'


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=2, max_size=6))
def test_every_piece_of_a_stream_can_be_read_when_it_came(pieces: list[bytes]) -> None:
    start, *messages = answered(pieces)
    assert b"content-length" not in named(start)
    assert [message.get("more_body", False) for message in messages] == [True] * (len(pieces) - 1) + [False]
    reader = zlib.decompressobj(31)
    for piece, message in zip(pieces, messages, strict=True):
        assert reader.decompress(message["body"]) == piece
    assert reader.eof


def test_a_very_long_answer_does_not_hold_the_loop() -> None:
    """It is compressed in a thread: a timer of the loop fires meanwhile."""
    body = bytes(range(256)) * 80_000
    ticks = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        nonlocal ticks
        sent: list[Message] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
        work = asyncio.ensure_future(gzipped(app)(scope, send, send))
        while not work.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await work
        assert gzip.decompress(sent[1]["body"]) == body

    run(main())
    assert ticks > 3


def test_at_the_door(tmp_path: Any) -> None:
    with listening(tmp_path, lambda backend: gzipped(objects.app(backend))) as door:
        client = Client(door.url, door.root)
        many = [{"type": "note", "id": f"n{n}", "text": "the same again"} for n in range(30)]
        client.send("POST", "/v1/_batch", many)
        plain = client.send("GET", "/v1/note", Origin="https://x.org")
        small = client.send("GET", "/v1/note/n1", **{"Accept-Encoding": "gzip"})
        head = client.send("HEAD", "/v1/note", **{"Accept-Encoding": "gzip"})
        asked = client.send("GET", "/v1/note", **{"Accept-Encoding": "gzip", "Origin": "https://x.org"})
        assert asked.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(asked.content) == plain.content
        assert asked.headers["Vary"] == plain.headers["Vary"] == "Origin, Accept-Encoding"
        assert "Content-Encoding" not in plain.headers
        assert "Content-Encoding" not in small.headers
        assert head.headers["Content-Encoding"] == "gzip"
        assert head.content == b""
        keys = client.send("GET", "/v1/_setup/child", **{"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in keys.headers


def test_it_is_a_setting(tmp_path: Any) -> None:
    with Server(tmp_path, {"para.gzip_enabled": "true"}) as server:
        options = requests.get(server.http + "/v1/_config/options", headers={"Accept-Encoding": "gzip"}, timeout=10)
        assert options.headers["Content-Encoding"] == "gzip"
        assert options.json()
