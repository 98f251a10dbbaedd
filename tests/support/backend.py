"""A whole backend in this process, over the real embedded engines, for tests that call core or mount a door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from thingstead.core.backend import Backend
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.ports.environment import Clock
from thingstead.server.compose import Built, build

ROOT_SECRET = "cm9vdCBzZWNyZXQgb2YgdGhlIHRlc3RzLCBmb3J0eSBieXRlcyE9PQ=="
KEY = b"k" * 32


@asynccontextmanager
async def open_built(directory: Path, *, clock: Clock | None = None, **settings: object) -> AsyncIterator[Built]:
    """A built backend; `settings` are fields of `Settings`."""
    values = msgspec.convert({"root_secret_override": ROOT_SECRET, **settings}, Settings)
    built = await build(directory, values, KEY, clock=clock)
    try:
        yield built
    finally:
        await built.close()


@asynccontextmanager
async def open_backend(directory: Path, *, clock: Clock | None = None, **settings: object) -> AsyncIterator[Backend]:
    """The backend of `open_built`."""
    async with open_built(directory, clock=clock, **settings) as built:
        yield built.backend


def owner(app: str) -> Principal:
    """The app itself, as a signed request would give it."""
    return Principal("app", app, root=app == "para")


async def totals(backend: Backend) -> tuple[int, int, int, int]:
    """(journal, head, objects, entities of the root app): equal before and after a refused request."""
    store = backend.store
    root = backend.tenants.root
    objects = await store.objects.count(root)
    entities = len(await store.shadows.entities(root))
    return await store.journal.last(), await store.readings.head(), objects, entities
