"""The indexer is a process of its own, and nobody notices: killed at any time it loses nothing, it never outlives its
owner, and however much it is handed, the event loop goes on.
"""

import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from support.aio import run, until
from thingstead.conformance.index import document, ids
from thingstead.engines.tantivy.index import TantivyIndex
from thingstead.model.errors import Unavailable
from thingstead.model.query import ast
from thingstead.ports.index import Removal, SearchRequest

MANY = 30_000  # more than the backlog and a pipe hold


def with_index(directory: Path, work: Callable[[TantivyIndex], Awaitable[None]], seconds: float = 60) -> None:
    async def opened() -> None:
        index = await TantivyIndex.open(directory / "index", "store-1")
        try:
            await work(index)
        finally:
            await index.close()

    run(opened(), seconds)


def kill(index: TantivyIndex) -> None:
    os.kill(index._child.pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    """True of a process that ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_killed_between_commits_it_loses_nothing(tmp_path: Path) -> None:
    async def work(index: TantivyIndex) -> None:
        index.enqueue([document(1), document(2), document(3)])
        await index.commit()
        kill(index)
        assert await ids(index) == ["o1", "o2", "o3"], "searches do not need it"
        index.enqueue([Removal("app", "o2", 4), document(5)])
        assert await index.commit() == 5
        assert await ids(index) == ["o1", "o3", "o5"]
        kill(index)
        await index.drop_app("app")
        assert await ids(index) == []
        kill(index)
        assert await index.commit(9) == 9

    with_index(tmp_path, work)


@pytest.mark.parametrize("after", [0.0, 0.002, 0.005, 0.01, 0.02, 0.05])
def test_killed_during_a_commit_it_loses_nothing_and_doubles_nothing(tmp_path: Path, after: float) -> None:
    async def work(index: TantivyIndex) -> None:
        index.enqueue([document(1)])
        await index.commit()
        for turn in range(1, 4):
            new = [document(turn * 1000 + n) for n in range(200)]
            index.enqueue([structs.replace(each, new=True) for each in new])
            killing = asyncio.get_running_loop().call_later(after, kill, index)
            try:
                await index.commit()
            except Unavailable:  # it may hit the one that replaces the last turn's
                killing.cancel()
                await index.commit()
            assert await index.position() == new[-1].seq
            assert len(await ids(index)) == 1 + 200 * turn

    with_index(tmp_path, work)
    with_index(tmp_path, lambda index: holds(index, 601))


async def holds(index: TantivyIndex, number: int) -> None:
    assert len(await ids(index)) == number
    assert index.refused == 0


def test_it_is_unavailable_while_no_indexer_starts_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(index: TantivyIndex) -> None:
        index.enqueue([document(1)])
        await index.commit()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "/bin/false")
            kill(index)
            index.enqueue([document(2)])
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await index.commit()
            assert (await index.position(), await ids(index)) == (1, ["o1"])
        index.enqueue([document(3)])
        assert await index.commit() == 3
        assert await ids(index) == ["o1", "o2", "o3"]

    with_index(tmp_path, work)


def test_what_cannot_be_indexed_is_counted_and_its_old_version_gone(tmp_path: Path) -> None:
    async def work(index: TantivyIndex) -> None:
        index.enqueue([document(n) for n in range(1, 5)])
        await index.commit()
        index.enqueue([document(2, name=2**70), document(5)])
        index.enqueue([document(6, name="Six")])
        await index.commit()
        assert await ids(index) == ["o1", "o3", "o4", "o5", "o6"]
        assert index.refused == 1

    with_index(tmp_path, work)


def test_it_ignores_the_signals_of_a_terminal(tmp_path: Path) -> None:
    async def work(index: TantivyIndex) -> None:
        index.enqueue([document(1)])
        await index.commit()
        pid = index._child.pid
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        index.enqueue([document(2)])
        assert await index.commit() == 2
        assert index._child.pid == pid

    with_index(tmp_path, work)


async def work_and_wait(directory: str) -> None:
    """The owner that gets killed."""
    index = await TantivyIndex.open(Path(directory), "store-1")
    index.enqueue([document(n) for n in range(1, 11)])
    await index.commit()
    index.enqueue([document(n) for n in range(11, 3000)])
    committing = asyncio.ensure_future(index.commit())
    print(index._child.pid, flush=True)
    await committing
    await asyncio.sleep(60)


def test_it_ends_with_its_owner_whose_directory_can_be_opened_at_once(tmp_path: Path) -> None:
    work = f"runpy.run_path({__file__!r})['work_and_wait']({str(tmp_path / 'index')!r})"
    call = f"import asyncio, runpy; asyncio.run({work})"
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", call], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    ) as owner:
        assert owner.stdout is not None
        try:
            pid = int(owner.stdout.readline())
            assert not gone(pid)
        finally:
            owner.kill()

    async def again(index: TantivyIndex) -> None:
        async def ended() -> bool:
            return gone(pid)

        await until(ended, 5)
        position = await index.position()
        assert position in (10, 2999)
        assert position > 10 or await ids(index) == [f"o{n}" for n in range(1, 11)]
        index.enqueue([document(n) for n in range(1, 21)])
        assert await index.commit(max(position, 20)) == max(position, 20)
        assert (await ids(index, limit=10_000))[:20] == [f"o{n}" for n in range(1, 21)]

    with_index(tmp_path, again)


def test_a_backlog_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """30,000 documents while the indexer is stopped (its pipe is full), and while it works them off."""

    async def work(index: TantivyIndex) -> None:
        await index.commit(1)
        worst = 0.0

        async def probe() -> None:
            nonlocal worst
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                worst = max(worst, time.perf_counter() - before)

        probing = asyncio.ensure_future(probe())
        os.kill(index._child.pid, signal.SIGSTOP)
        text = "some words to fill the pipe with " * 5
        for first in range(1, MANY, 100):
            index.enqueue([document(n, about=text) for n in range(first, first + 100)])
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await index.room()
        os.kill(index._child.pid, signal.SIGCONT)
        await index.room()
        await index.commit()
        probing.cancel()
        assert (await index.snapshot().search(SearchRequest("app", ast.ALL, limit=0))).total == MANY
        assert worst < 2, "seconds, on a machine that others use"

    with_index(tmp_path, work)


def test_handing_over_costs_little(tmp_path: Path) -> None:
    """What each document costs this process, the loop and the thread together, in CPU time."""

    async def work(index: TantivyIndex) -> None:
        await index.commit(1)
        documents = [document(n, about="a few words about it", weight=n / 3) for n in range(2, 5002)]
        before = time.process_time()
        for each in documents:
            index.enqueue([each])
        await index.room()
        await index.commit()
        spent = (time.process_time() - before) / len(documents)
        assert spent < 50e-6, f"{spent * 1e6:.1f} us"

    with_index(tmp_path, work)


def test_a_child_that_hangs_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingstead.engines.tantivy.child._PATIENCE", 0.2)

    async def work(index: TantivyIndex) -> None:
        index.enqueue([document(1)])
        os.kill(index._child.pid, signal.SIGSTOP)
        monkeypatch.setattr("thingstead.engines.tantivy.child._PATIENCE", 0.5)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "/bin/false")
            with pytest.raises(Unavailable):
                await index.commit()
        monkeypatch.setattr("thingstead.engines.tantivy.child._PATIENCE", 30)
        assert await index.commit() == 1
        assert await ids(index) == ["o1"]

    with_index(tmp_path, work)


def test_what_merges_have_used_goes_back_to_the_system() -> None:
    """Also what lies below something that is still held; nothing is broken where the C library is another one."""
    code = """
from thingstead.engines.tantivy.indexer import give_back

def private():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

used = [b"x" * 1000 + bytes([n % 256]) for n in range(100_000)]
last = used[-1]
used.clear()
before = private()
give_back()
print(before, private())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    if platform.libc_ver()[0] == "glibc":
        assert after < before - 90_000
