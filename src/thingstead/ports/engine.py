"""How an engine makes itself known: the embedded ones and those of plug-ins alike (design.md 5; objects.md 20, 21).

A plug-in's entry point in the group `thingstead.engines` has the engine's name as it stands in the settings
(`para.search = "MyIndex"`) and leads to an `Engine`. The port's module says what the opened engine promises.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from thingstead.model.settings import Settings
from thingstead.ports.cache import Cache
from thingstead.ports.environment import Clock, Entropy
from thingstead.ports.files import Files
from thingstead.ports.index import Index
from thingstead.ports.store import Store

Port: TypeAlias = Literal["dao", "search", "cache", "fs"]
"""The settings `para.dao` (ports.store), `para.search` (ports.index), `para.cache` and `para.fs` (ports.files)."""


class Place(msgspec.Struct, frozen=True):
    """Where an engine is opened. It may keep files in folders of its own below `directory`, which nobody else has open.

    `store` is the identity of the store that an index belongs to; "" for the store itself. Options of its own an engine
    reads from the environment.
    """

    directory: Path
    settings: Settings
    clock: Clock
    entropy: Entropy
    store: str = ""


class Engine(msgspec.Struct, frozen=True):
    """An engine, before it is opened. `open` raises StoreFailed, Unavailable or NotSupported if it cannot be."""

    port: Port
    open: Callable[[Place], Awaitable[Store | Index | Cache | Files]]
