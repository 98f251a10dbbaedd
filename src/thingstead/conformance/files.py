"""What every Files engine promises (`thingstead.ports.files`), as checks to run against any engine.

An engine's author calls each of `CHECKS` with a fresh engine that takes files of at most LIMIT bytes; a check raises
AssertionError where a promise is broken.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from thingstead.model.errors import InvalidInput
from thingstead.ports.files import Files

LIMIT = 300_000

Check = Callable[[Files], Awaitable[None]]


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def read(files: Files, path: str) -> bytes | None:
    stream = await files.load(path)
    return None if stream is None else b"".join([part async for part in stream])


async def what_is_stored_is_loaded(files: Files) -> None:
    """Byte for byte, in parts of any size, also none; a leading slash is the same path."""
    bodies = {"a.png": b"\x00\xff" * 50_000, "/a/b/c": b"deep", "empty": b"", "é 東.txt": b"1", "x" * 255: b"2"}
    for path, body in bodies.items():
        where = await files.store(path, parts(body[:1], body[1:70_000], b"", body[70_000:]))
        assert where
    for path, body in bodies.items():
        assert await read(files, path) == body
        assert await read(files, "/" + path.removeprefix("/")) == body
    assert await read(files, "e\u0301 東.txt") == b"1", "one file, however its name is composed"


async def what_is_not_there_is_none(files: Files) -> None:
    """Nor is a folder a file, nor anything below a file, nor a blank path."""
    await files.store("a/b", parts(b"1"))
    for path in ("nobody", "a", "a/b/c", "a/c", "", " ", "/"):
        try:
            assert await read(files, path) is None, path
            assert not await files.delete(path), path
        except InvalidInput:
            assert path == "/"
    assert await files.store("", parts(b"1")) is None
    assert await read(files, "a/b") == b"1"


async def deleting(files: Files) -> None:
    """Once; a reader goes on, the neighbour stays, and the path can be used again."""
    await files.store("a/b", parts(b"1" * 200_000))
    await files.store("a/c", parts(b"2"))
    stream = await files.load("a/b")
    assert stream is not None
    begun = await anext(stream)
    assert await files.delete("a/b")
    assert begun + b"".join([part async for part in stream]) == b"1" * 200_000
    assert not await files.delete("a/b")
    assert await read(files, "a/b") is None
    assert await read(files, "a/c") == b"2"
    await files.store("a/b", parts(b"3"))
    assert await read(files, "a/b") == b"3"


async def over_the_limit_nothing_is_kept(files: Files) -> None:
    """And what was there stays."""
    assert await files.store("big", parts(b"x" * LIMIT))
    assert await files.store("big", parts(b"y" * LIMIT, b"y")) is None
    assert await files.store("other", parts(b"y" * LIMIT, b"y")) is None
    assert await read(files, "big") == b"x" * LIMIT
    assert await read(files, "other") is None


async def a_stream_that_breaks_off_changes_nothing(files: Files) -> None:
    """What it raises is passed on."""

    async def breaks() -> AsyncIterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    await files.store("a", parts(b"old"))
    for path in ("a", "b"):
        with pytest.raises(ConnectionResetError):
            await files.store(path, breaks())
    assert await read(files, "a") == b"old"
    assert await read(files, "b") is None


async def a_file_is_whole(files: Files) -> None:
    """While it is replaced, slowly and by several, readers see one version or another, never a mix or a part."""
    versions = [bytes([65 + n]) * 100_000 for n in range(4)]

    async def slowly(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 20_000):
            await asyncio.sleep(0.001)
            yield body[at : at + 20_000]

    await files.store("a", parts(versions[0]))
    writing = asyncio.gather(*(files.store("a", slowly(body)) for body in versions[1:]))
    while not writing.done():
        assert await read(files, "a") in versions
        await asyncio.sleep(0)
    await writing
    assert await read(files, "a") in versions[1:]


REFUSED = (
    *("..", "../a", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "//etc/passwd", "a/", "/../a"),
    *("a\x00b", "a\nb", "a\\b", "..\\a", "C:", "C:/a", "a:b", "a\x7f", "a\u202eb", "a\ud800", "\u200b"),
    *("\uff0e\uff0e/a", "\u2024\u2024/a", "\u2025", "a\uff0fb", "a\uff3cb", " a", "a ", "a/ b", "a.", "...", "a/..."),
    *("x" * 256, "é" * 128, "a/" * 600 + "b", ".incoming/a", ".INCOMING"),
)


async def refused_paths_are_refused(files: Files) -> None:
    """By name of the field, by every method, and nothing changes."""
    await files.store("a/b", parts(b"1"))
    for path in REFUSED:
        for work in (files.load, lambda path: files.store(path, parts(b"2")), files.delete):
            with pytest.raises(InvalidInput) as caught:
                await work(path)
            assert caught.value.field == "path", path
    assert await read(files, "a/b") == b"1"


CHECKS: tuple[Check, ...] = (
    what_is_stored_is_loaded,
    what_is_not_there_is_none,
    deleting,
    over_the_limit_nothing_is_kept,
    a_stream_that_breaks_off_changes_nothing,
    a_file_is_whole,
    refused_paths_are_refused,
)
