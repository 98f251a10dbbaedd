"""Runs a coroutine as the server does, on uvloop, and never for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], seconds: float = 30) -> T:
    """The result of the coroutine, on a loop of its own; TimeoutError after `seconds`."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


async def until(condition: Callable[[], Awaitable[T]], seconds: float = 10, pause: float = 0.01) -> T:
    """Asks again until the answer is true, and returns it; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (answer := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(pause)  # what is asked is mostly outside of this process: no event to wait for
        return answer
