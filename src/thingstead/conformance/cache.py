"""What every Cache promises (`thingstead.ports.cache`), as checks to run against any engine.

An engine's author calls each of `CHECKS` with a fresh cache that holds at least 100 objects; a check raises
AssertionError where a promise is broken.
"""

import itertools
from collections.abc import Awaitable, Callable

from thingstead.ports.cache import Cache
from thingstead.ports.store import StoredObject

A, B = "one", "two"

Check = Callable[[Cache], Awaitable[None]]


def copy(rev: int, id: str = "1", app: str = A) -> StoredObject:
    """A copy of an object at a rev."""
    return StoredObject(app, id, "cat", 7, rev, b'{"rev":%d}' % rev, b"secret" if rev % 2 else None)


async def what_is_set_is_there(cache: Cache) -> None:
    """Whole, private bytes too, by (app, id), any text being an id."""
    ids = ["1", "", "a/b", "é\x1f", "東", "x" * 2000]
    await cache.put([copy(n + 1, id) for n, id in enumerate(ids)])
    for n, id in enumerate(ids):
        assert await cache.get(A, id) == copy(n + 1, id)
        assert await cache.get(B, id) is None
    assert await cache.get_many(A, ["nobody", *ids]) == {id: copy(n + 1, id) for n, id in enumerate(ids)}
    assert await cache.get_many(A, []) == {}
    assert await cache.get(A, "nobody") is None


async def the_newest_stays(cache: Cache) -> None:
    """Whatever the order of arrival, one by one or together."""
    for n, order in enumerate(itertools.permutations([1, 2, 3])):
        for rev in order:
            await cache.put([copy(rev, f"{n}")])
        assert await cache.get(A, f"{n}") == copy(3, f"{n}"), order
    await cache.put([copy(5), copy(9), copy(7)])
    assert await cache.get(A, "1") == copy(9)


async def removed_is_removed(cache: Cache) -> None:
    """A late reader cannot bring it back; a newer life of the id can."""
    await cache.put([copy(4), copy(4, "2")])
    await cache.remove(A, {"1": 5})
    assert await cache.get(A, "1") is None
    await cache.put([copy(4)])
    await cache.put([copy(5)])
    assert await cache.get(A, "1") is None
    assert await cache.get(A, "2") == copy(4, "2")
    await cache.put([copy(6)])
    assert await cache.get(A, "1") == copy(6)
    await cache.remove(A, {"never": 3})
    await cache.put([copy(3, "never")])
    assert await cache.get(A, "never") is None


async def an_old_removal_removes_nothing(cache: Cache) -> None:
    """A copy that is newer than the removal stays."""
    await cache.put([copy(8)])
    await cache.remove(A, {"1": 5})
    assert await cache.get(A, "1") == copy(8)


async def rev_0_is_forgetting(cache: Cache) -> None:
    """Whatever is there goes, a removal as well, and anything may come again."""
    await cache.put([copy(8)])
    await cache.remove(A, {"1": 0, "2": 0})
    assert await cache.get(A, "1") is None
    await cache.put([copy(3)])
    assert await cache.get(A, "1") == copy(3)
    await cache.remove(A, {"1": 9})
    await cache.remove(A, {"1": 0})
    await cache.put([copy(4)])
    assert await cache.get(A, "1") == copy(4)


async def apps_never_meet(cache: Cache) -> None:
    """Setting, removing and clearing in one app is nothing to another."""
    await cache.put([copy(4), copy(9, app=B), copy(1, "2", app=B)])
    assert await cache.get(A, "1") == copy(4)
    await cache.remove(A, {"1": 20})
    assert await cache.get(B, "1") == copy(9, app=B)
    await cache.put([copy(1, "3")])
    await cache.clear(B)
    assert [await cache.get(B, id) for id in ("1", "2")] == [None, None]
    assert await cache.get(A, "3") == copy(1, "3")


async def it_is_bounded(cache: Cache) -> None:
    """What is set without end does not stay without end; the newest is there."""
    most = 0
    for n in range(20_000):
        await cache.put([copy(n + 1, f"i{n}")])
    kept = await cache.get_many(A, [f"i{n}" for n in range(20_000)])
    most = len(kept)
    assert 0 < most < 20_000
    assert "i19999" in kept


async def a_probe_leaves_nothing(cache: Cache) -> None:
    """It answers, and what is there stays."""
    await cache.put([copy(2)])
    assert await cache.probe()
    assert await cache.get(A, "1") == copy(2)
    assert await cache.probe()


async def closing_twice_is_fine(cache: Cache) -> None:
    """And gives nothing back."""
    await cache.put([copy(2)])
    await cache.close()
    await cache.close()


CHECKS: tuple[Check, ...] = (
    what_is_set_is_there,
    the_newest_stays,
    removed_is_removed,
    an_old_removal_removes_nothing,
    rev_0_is_forgetting,
    apps_never_meet,
    it_is_bounded,
    a_probe_leaves_nothing,
    closing_twice_is_fine,
)
