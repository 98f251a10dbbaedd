"""What every SessionStore promises (`thingstead.ports.sessions`), as checks to run against any engine.

An engine's author calls each of `CHECKS` with a function that makes a `Disk`; a check that fails, raises. What the
values mean is the transport's own and tested there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from thingstead.model.errors import Unavailable
from thingstead.ports.sessions import Change, SessionStore, Space

S, Q, R = Space.SESSIONS, Space.QUEUED, Space.RETAINED


class Disk(Protocol):
    """A new and empty place to keep things, and the engine over it."""

    store: SessionStore

    async def crash(self) -> None:
        """From here on `store` is opened over what a loss of power at this moment leaves. The one before lives on, cut
        off from it, until `close`.
        """
        ...

    def fail(self, failing: bool) -> None:
        """Have everything that is written from now on fail, or no longer."""
        ...

    async def close(self) -> None: ...


Make = Callable[[], Awaitable[Disk]]
Check = Callable[[Make], Awaitable[None]]
CHECKS: list[Check] = []


def check(work: Callable[[Disk], Awaitable[None]]) -> Check:
    """A promise that needs one disk."""

    async def on_one(make: Make) -> None:
        disk = await make()
        try:
            await work(disk)
        finally:
            disk.fail(False)
            await disk.close()

    on_one.__name__ = work.__name__
    CHECKS.append(on_one)
    return on_one


async def kept(disk: Disk) -> dict[Space, dict[str, bytes]]:
    """All there is; no key twice."""
    found: dict[Space, dict[str, bytes]] = {}
    for space in Space:
        entries = await disk.store.load(space)
        found[space] = dict(entries)
        assert len(found[space]) == len(entries)
    return found


def puts(count: int, value: bytes, space: Space = S) -> list[Change]:
    return [Change(space, f"k{n}", value) for n in range(count)]


@check
async def a_new_store_is_empty(disk: Disk) -> None:
    assert await kept(disk) == {S: {}, Q: {}, R: {}}
    await disk.store.apply([])
    await disk.crash()
    assert await kept(disk) == {S: {}, Q: {}, R: {}}


@check
async def what_was_put_comes_back_as_it_was(disk: Disk) -> None:
    """Any bytes, none and many; keys that differ by case, spaces or the form of an accent are different keys."""
    values = [b"", b"\0", bytes(range(256)), b"x" * 300_000, b"null", b'{"a":1}']
    keys = ["a", "A", "a ", " a", "0:owner:ü", "0:owner:u\u0308", "\u00e9", "+/#", "$SYS/a", "\U0001f331", "%", "_"]
    keys += ["k" * 1_400, "\U0001f331" * 350, "\x01\x1f\x7f", "'; --", "1", "01", "1.0"]
    entries = {key: values[n % len(values)] for n, key in enumerate(keys)}
    await disk.store.apply([Change(S, key, value) for key, value in entries.items()])
    assert (await kept(disk))[S] == entries
    await disk.crash()
    assert (await kept(disk))[S] == entries


@check
async def spaces_are_apart(disk: Disk) -> None:
    """The same key may be in each, also in one batch."""
    await disk.store.apply([Change(space, "k", space.encode()) for space in Space])
    await disk.store.apply([Change(Q, "k", None), Change(S, "k", b"new")])
    assert await kept(disk) == {S: {"k": b"new"}, Q: {}, R: {"k": R.encode()}}


@check
async def the_last_change_counts(disk: Disk) -> None:
    """Over batches, and over crashes; deleting what is not there is fine and hinders nothing else of the batch."""
    await disk.store.apply([Change(S, "a", b"1"), Change(S, "b", b"1"), Change(R, "a", b"1")])
    await disk.store.apply([Change(S, "a", b"2"), Change(S, "never", None), Change(S, "b", None)])
    assert await kept(disk) == {S: {"a": b"2"}, Q: {}, R: {"a": b"1"}}
    await disk.crash()
    await disk.store.apply([Change(S, "b", None), Change(S, "b2", b"3"), Change(S, "a", None)])
    await disk.store.apply([Change(S, "b", b"4")])
    await disk.crash()
    assert await kept(disk) == {S: {"b": b"4", "b2": b"3"}, Q: {}, R: {"a": b"1"}}


@check
async def durable_on_return(disk: Disk) -> None:
    """After each batch, not only after a close."""
    for number in range(5):
        await disk.store.apply([Change(S, "k", b"%d" % number), Change(Q, f"{number}", b"q")])
        await disk.crash()
        assert (await kept(disk))[S] == {"k": b"%d" % number}
        assert len((await kept(disk))[Q]) == number + 1
    await disk.store.apply([Change(S, "k", None)])
    await disk.crash()
    assert (await kept(disk))[S] == {}


@check
async def a_large_batch_is_kept(disk: Disk) -> None:
    await disk.store.apply(puts(3_000, b"v" * 100, Q))
    await disk.crash()
    assert (await kept(disk))[Q] == {f"k{n}": b"v" * 100 for n in range(3_000)}
    await disk.store.apply([change._replace(value=None) for change in puts(3_000, b"", Q)])
    await disk.crash()
    assert (await kept(disk))[Q] == {}


@check
async def a_failure_is_told_and_changes_nothing(disk: Disk) -> None:
    """Neither now, nor after a crash, nor when something else succeeds later; the same changes may come again."""
    await disk.store.apply(puts(3, b"old"))
    old = {f"k{n}": b"old" for n in range(3)}
    changes = [Change(S, "k0", b"new"), Change(S, "k1", None), Change(S, "k9", b"new")]
    disk.fail(True)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await disk.store.apply(changes)
    disk.fail(False)
    assert (await kept(disk))[S] == old
    await disk.store.apply([Change(R, "r", b"r")])
    assert (await kept(disk))[S] == old
    await disk.crash()
    assert await kept(disk) == {S: old, Q: {}, R: {"r": b"r"}}
    await disk.store.apply([*changes, Change(S, "k2", b"newer")])
    await disk.crash()
    assert (await kept(disk))[S] == {"k0": b"new", "k2": b"newer", "k9": b"new"}


async def all_or_nothing(make: Make) -> None:
    """Power lost at any turn of the loop during a batch leaves all of it or nothing, in all spaces."""
    before = {S: {f"k{n}": b"old" for n in range(4)}, Q: {"q": b"old"}, R: {}}
    after = {S: {f"k{n}": b"new" for n in range(4)}, Q: {}, R: {"r": b"new"}}
    for turns in range(30):
        disk = await make()
        try:
            await disk.store.apply([*puts(4, b"old"), Change(Q, "q", b"old")])
            batch = [*puts(4, b"new"), Change(Q, "q", None), Change(R, "r", b"new")]
            applying = asyncio.ensure_future(disk.store.apply(batch))
            for _ in range(turns):
                await asyncio.sleep(0)
            done = applying.done()
            await disk.crash()
            await applying
            found = await kept(disk)
        finally:
            await disk.close()
        assert found == after if done else found in (before, after)
        if done:
            return
    raise AssertionError("the batch took more turns than were looked at")


CHECKS.append(all_or_nothing)
