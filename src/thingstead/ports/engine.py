"""How an engine makes itself known: the embedded ones and those of plug-ins alike (design.md 5; objects.md 20, 21).

A plug-in's entry point in the group `thingstead.engines` has the engine's name as it stands in the settings
(`para.search = "MyIndex"`) and leads to an `Engine`. The port's module says what the opened engine promises.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from thingstead.model.settings import Settings
from thingstead.ports.cache import Cache
from thingstead.ports.environment import Clock, Entropy
from thingstead.ports.files import Files
from thingstead.ports.index import Index
from thingstead.ports.mailer import Mailer
from thingstead.ports.queue import Queue
from thingstead.ports.store import Store

Port: TypeAlias = Literal["dao", "search", "cache", "q", "fs", "emailer"]
"""The settings `para.dao` (ports.store), `para.search` (ports.index), `para.cache`, `para.q` (ports.queue), `para.fs`
(ports.files) and `para.emailer` (ports.mailer).
"""


class Place(msgspec.Struct, frozen=True):
    """Where an engine is opened. It may keep files in folders of its own below `directory`, which nobody else has open.

    `store` is the identity of the store that an index belongs to; "" for the store itself. `queue` is the one that the
    store has inside; None for store and index. Options of its own an engine reads from the environment.
    """

    directory: Path
    settings: Settings
    clock: Clock
    entropy: Entropy
    store: str = ""
    queue: Queue | None = None


class Engine(msgspec.Struct, frozen=True):
    """An engine, before it is opened. `open` raises StoreFailed, Unavailable or NotSupported if it cannot be."""

    port: Port
    open: Callable[[Place], Awaitable[Store | Index | Cache | Queue | Files | Mailer]]


@runtime_checkable
class Closing(Protocol):
    """What an opened queue, file store or mailer may be as well: let go of at the end."""

    async def close(self) -> None:
        """Nothing is asked of it afterwards. Must not raise."""
        ...
