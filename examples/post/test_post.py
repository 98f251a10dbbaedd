"""FileQueue keeps the promises of its port: `pytest test_post.py`."""

import asyncio
from pathlib import Path

import pytest
from post import FileQueue

from thingstead.conformance.queue import CHECKS, Check


class Bench:
    """A queue, its file, and a clock that is moved on by hand."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._time = 1_700_000_000_000_000
        self.queue = FileQueue(file, self)

    def now(self) -> int:
        return self._time

    async def reopen(self) -> None:
        await self.queue.close()
        self.queue = FileQueue(self._file, self)

    async def advance(self, seconds: float) -> None:
        self._time += int(seconds * 1_000_000)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_queue_keeps_the_promise(tmp_path: Path, check: Check) -> None:
    async def checked() -> None:
        bench = Bench(tmp_path / "queue.db")
        try:
            await check(bench)
        finally:
            await bench.queue.close()

    asyncio.run(checked())
