"""The index's directory beside tantivy's own files: `position.json`, and who may have it open.

Promises: a position is replaced whole and is on disk when `write_position` returns. One owner at a time; the next one
waits until the indexer of an owner that was killed is gone.
"""

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Any

import orjson

from thingstead.engines.tantivy.schema import FORMAT
from thingstead.model.errors import Unavailable

LOCK_SECONDS = 5.0
"""How long to wait for an indexer that is ending."""
_OWNER = "owner.lock"
_WRITER = ".tantivy-writer.lock"  # tantivy's own, held by the process that has a writer
_KEPT = (_OWNER, _WRITER)


def write_position(directory: Path, store: str, seq: int) -> None:
    """Everything up to `seq` of that store's journal is committed. Raises OSError."""
    file = directory / "position.json"
    temporary = file.with_suffix(".new")
    with temporary.open("wb") as out:
        out.write(orjson.dumps({"store": store, "format": FORMAT, "seq": seq}))
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_position(directory: Path, store: str) -> int | None:
    """The position; None if there is none, or of another store or format."""
    try:
        found: Any = orjson.loads((directory / "position.json").read_bytes())
        seq: Any = found["seq"]
        return seq if (found["store"], found["format"]) == (store, FORMAT) and type(seq) is int else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def empty(directory: Path) -> None:
    """Remove everything but the locks. Raises OSError."""
    for file in directory.iterdir():
        if file.is_dir():
            shutil.rmtree(file)
        elif file.name not in _KEPT:
            file.unlink()


def own(directory: Path) -> int:
    """Make the directory if need be and lock it; the descriptor to close when done. Raises OSError, and Unavailable if
    it has an owner, or if its last owner's indexer does not end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    owner = _open(directory / _OWNER)
    try:
        if not _lock(owner):
            raise Unavailable("the search index is open already")
        writer = _open(directory / _WRITER)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _lock(writer):
                if time.monotonic() > deadline:
                    raise Unavailable("the search index is being written by another process")
                time.sleep(0.02)
        finally:
            os.close(writer)
    except BaseException:
        os.close(owner)
        raise
    return owner


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
