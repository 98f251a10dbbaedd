"""A restart replays the journal lines after the index's cursor and no others, after an orderly end and after a kill.

Run as a program with a data directory, this file is the process that is killed.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft, Written
from thingstead.model.query.build import Find, plan
from thingstead.model.values import JsonObject

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

OBJECTS = 100_000
BATCH = 1_000
NEW, CHANGED, DELETED = 100, 20, 17  # written last, and not in the index when the process is killed
APP = "para"
TESTS = Path(__file__).parents[1]


def draft(number: int) -> Draft:
    return Draft(type="row", id=f"row{number}", body={"name": f"row {number}", "number": number, "state": "first"})


async def fill(backend: Backend) -> None:
    """OBJECTS objects, as fast as the index takes them."""
    for first in range(0, OBJECTS, BATCH):
        await backend.search.room()
        drafts = [draft(number) for number in range(first, first + BATCH)]
        written = await backend.objects.create_many(APP, drafts, owner(APP))
        assert all(isinstance(one, Written) for one in written)
    await backend.search.flush()


async def write_and_die(directory: Path) -> None:
    """Writes that the index has no time to commit; ends in SIGKILL without a word."""
    async with open_backend(directory) as backend:
        await backend.search.flush()
        changes: list[tuple[str, JsonObject]] = [(f"row{number}", {"state": "changed"}) for number in range(CHANGED)]
        await asyncio.gather(
            backend.objects.create_many(APP, [draft(OBJECTS + n) for n in range(NEW)], owner(APP)),
            backend.objects.patch_many(APP, changes, owner(APP)),
            backend.objects.delete_many(APP, [f"row{CHANGED + n}" for n in range(DELETED)], owner(APP)),
        )
        os.kill(os.getpid(), signal.SIGKILL)


async def found(backend: Backend, q: str) -> int:
    """How many rows a search counts."""
    wanted = plan("", "row", {"q": [q], "limit": ["0"]})
    assert isinstance(wanted, Find)
    return (await backend.search.find(APP, wanted)).total


async def build(directory: Path) -> None:
    async with open_backend(directory) as backend:
        await fill(backend)
        assert await found(backend, "*") == OBJECTS


async def reopen(directory: Path, replayed: int, finds: Mapping[str, int]) -> None:
    async with open_backend(directory) as backend:
        assert backend.search.recovered == replayed
        assert {q: await found(backend, q) for q in finds} == finds


def test_only_what_the_index_missed_is_replayed(tmp_path: Path) -> None:
    run(build(tmp_path), 150)
    run(reopen(tmp_path, 0, {"*": OBJECTS}), 30)
    killed = subprocess.run(
        [sys.executable, __file__, tmp_path],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    finds = {
        "*": OBJECTS + NEW - DELETED,
        f"properties.number:[{OBJECTS} TO *]": NEW,
        "properties.state:changed": CHANGED,
        f"id:row{CHANGED}": 0,
    }
    run(reopen(tmp_path, NEW + CHANGED + DELETED, finds), 30)
    run(reopen(tmp_path, 0, finds), 30)


if __name__ == "__main__":
    run(write_and_die(Path(sys.argv[1])), 25)
