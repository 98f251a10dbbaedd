"""A backend and one of its doors behind a real listener, in a thread of its own, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from support.backend import ROOT_SECRET, open_built, totals
from support.sign import Signer
from support.stages import Stage, begin, reach
from thingstead.core.backend import Backend
from thingstead.ports.environment import Clock
from thingstead.server.compose import Built
from thingstead.transports.http import AsgiApp
from thingstead.transports.http.serving import HttpListener

T = TypeVar("T")
SECONDS = 30


class Listening:
    """What a test may use: the address, the backend, root's signer, and a way to run work in the server's loop."""

    def __init__(self, built: Built, listener: HttpListener, loop: asyncio.AbstractEventLoop) -> None:
        self.built = built
        self.backend: Backend = built.backend
        self.url = listener.url
        self.root = Signer("app:para", ROOT_SECRET)
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work done in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    @contextmanager
    def written(self, stage: Stage) -> Generator[None]:
        """Readings that are written inside are merged as far as `stage` says when it ends (`support.stages`)."""
        begun = self.run(begin(self.backend.store, stage))
        yield
        self.run(reach(self.backend.store, stage, begun))

    def totals(self) -> tuple[int, int, int, int]:
        """See `support.backend.totals`."""
        return self.run(totals(self.backend))


@contextmanager
def listening(
    directory: Path,
    door: Callable[[Backend], AsgiApp],
    *,
    host: str = "127.0.0.1",
    clock: Clock | None = None,
    **settings: object,
) -> Generator[Listening]:
    """Serve `door` on a free port while the `with` lasts; `settings` are fields of `Settings`."""
    started = threading.Event()
    told: list[Listening] = []
    failed: list[BaseException] = []
    stop: list[Callable[[], None]] = []

    async def serve() -> None:
        async with open_built(directory, clock=clock, **settings) as built:
            listener = HttpListener(door(built.backend), host, 0)
            await listener.start()
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(ended.set) and None)
            told.append(Listening(built, listener, loop))
            started.set()
            await ended.wait()
            await listener.close()

    def main() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=main, name="listening", daemon=True)
    thread.start()
    try:
        assert started.wait(SECONDS), "the door did not start"
        if failed:
            raise failed[0]
        yield told[0]
    finally:
        if stop:
            stop[0]()
        thread.join(SECONDS)
    if failed:
        raise failed[0]
