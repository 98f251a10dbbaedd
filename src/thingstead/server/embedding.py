"""thingstead inside a program (objects.md 21), with or without a server beside it.

    async with thingstead.open("data", classes=[Kitten]) as para:
        ...

Promises: the same data directory, settings and plug-ins as `thingstead serve`; one owner of a directory at a time; at
the end listeners are told, then all that was written is settled and let go of. No loop, no signal and no logging of the
program's is touched.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from thingstead.embed.embedded import Embedded
from thingstead.embed.entities import Object
from thingstead.embed.listeners import Listener
from thingstead.embed.resources import Resource
from thingstead.server.compose import build
from thingstead.server.data import DataDirectory
from thingstead.server.environment import SystemEntropy
from thingstead.server.plugins import Plugins
from thingstead.server.settings import Loaded, load

if TYPE_CHECKING:
    from thingstead.server.running import Addresses

T = TypeVar("T")
Wait: TypeAlias = Callable[[Coroutine[Any, Any, T]], T]

log = logging.getLogger("thingstead")


@asynccontextmanager
async def open(
    data: str | Path = "data",
    *,
    settings: Mapping[str, object] | None = None,
    classes: Sequence[type[Object]] = (),
    listeners: Sequence[Listener] = (),
    resources: Sequence[Resource] = (),
    serve: "Addresses | None" = None,
) -> AsyncGenerator[Embedded]:
    """Open a data directory, made if it is not there, and close it at the end.

    `settings` are keys as on the command line (`{"para.app_name": "shop"}`); they win over environment and files.
    `serve` also starts the doors there; else they stay closed, unless `para.api_enabled` is set to true (D12). Root's
    keys lie in `root-keys.json` of the directory. Raises Unavailable if another process has the directory or a plug-in
    fails, StoreFailed, NotSupported, InvalidInput for settings, classes and resources, OSError for addresses.
    """
    directory = Path(data)
    texts = [f"{key}={_text(value)}" for key, value in (settings or {}).items()]
    loaded = load(texts, directory, log.warning)
    if loaded.idle:
        log.warning(loaded.idle)
    if serve is None:
        serve = _asked_to_serve(loaded)
    async with AsyncExitStack() as held:
        owned = DataDirectory(directory)
        if serve is not None:
            from thingstead.server.running import start  # the doors and their libraries

            def before(para: Embedded) -> None:
                para.register(*classes)
                para.mount(*resources)

            running = await start(
                owned, loaded.settings, serve, os.getpid(), _untold, before=before, listeners=listeners
            )
            held.push_async_callback(running.close)
            yield running.para
            return
        held.callback(owned.close)
        secret = owned.secret_key(SystemEntropy())
        plugins = Plugins.of(directory, loaded.settings)
        built = await build(directory, loaded.settings, secret, plugins=plugins)
        held.push_async_callback(built.close)
        if built.root_keys is not None:
            owned.write_root_keys(built.root_keys.access_key, built.root_keys.secret_key)
        built.backend.audit.start()
        para = Embedded(built.backend)
        held.push_async_callback(para.end)
        para.register(*classes)
        para.mount(*resources)
        await plugins.activate(para, listeners)
        yield para


@contextmanager
def open_blocking(data: str | Path = "data", **how: Any) -> Generator[tuple[Embedded, "Wait[Any]"]]:
    """`open` for programs without a loop: the opened thingstead, and a function that waits for a coroutine's result.

    with thingstead.open_blocking("data") as (para, wait):
        wait(para.dao.create(Kitten(name="Tom")))

    A loop of its own runs in a thread; `wait` may be called from every other thread. Arguments as for `open`.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="thingstead", daemon=True)
    thread.start()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        opened = open(data, **how)
        para = wait(opened.__aenter__())  # pyright: ignore[reportArgumentType]
        try:
            yield para, wait
        finally:
            wait(opened.__aexit__(None, None, None))  # pyright: ignore[reportArgumentType]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _asked_to_serve(loaded: Loaded) -> "Addresses | None":
    asked = loaded.given.get("para.api_enabled")
    if asked is None or asked.value is not True:
        return None
    from thingstead.server.running import Addresses

    return Addresses(port=loaded.settings.port)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _untold(line: str) -> None:
    """Lines for an operator hold root's keys: a program finds them in the directory."""
