"""The indexer's process as the thread that talks to it sees it; the frames are those of `indexer`.

Promises: nothing here waits for ever. What a process that ended, hangs or failed did not commit is lost with it; the
caller sends it to another. All calls but `abort` from one thread, and blocking.
"""

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

import thingstead
from thingstead.model.errors import Unavailable

_PATIENCE = 30.0  # seconds without any progress
_END_SECONDS = 5.0  # for merging; what is cut short is merged another time
_PIPE_BYTES = 1024 * 1024
_AT_ONCE = 100  # changes to a frame: the interpreter is not given away while one is encoded


class Answer(msgspec.Struct, frozen=True):
    """What `indexer` says."""

    seq: int = -1
    refused: int = 0
    error: str | None = None


class Child:
    """A running indexer; start it with the constructor, end it with `close` or `kill`. Raises Unavailable."""

    def __init__(self, directory: Path, store: str) -> None:
        root = str(Path(thingstead.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-m", "thingstead.engines.tantivy.indexer", str(directory), store]
        environment = {**os.environ, "PYTHONPATH": paths, "MALLOC_ARENA_MAX": "2"}
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # a terminal's Ctrl-C is for the server alone
            )
        except OSError as error:
            raise Unavailable(f"the search indexer cannot be started: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            try:
                fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            except OSError:
                pass  # it works with any size

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, changes: Sequence[list[Any]]) -> int:
        """Returns when all were handed over; how many documents are no JSON, and were removed instead."""
        refused = 0
        for at in range(0, len(changes), _AT_ONCE):
            some = changes[at : at + _AT_ONCE]
            try:
                self._write(orjson.dumps(some))
            except (TypeError, ValueError):
                kept = [change if _is_json(change) else change[:2] for change in some]
                refused += sum(len(after) < len(before) for before, after in zip(some, kept, strict=True))
                self._write(orjson.dumps(kept))
        return refused

    def commit(self, seq: int) -> int:
        """Returns when everything sent is durable; how many documents were refused."""
        self._write(orjson.dumps(seq))
        size = int.from_bytes(self._read(4), "big")
        answer = msgspec.json.decode(self._read(size), type=Answer)
        if answer.error is not None or answer.seq != seq:
            raise Unavailable(f"the search indexer failed: {answer.error}")
        return answer.refused

    def close(self) -> None:
        """Let it finish merging and end by itself, for a few seconds."""
        try:
            self._write(b"null")
        except Unavailable:
            pass
        self._end(_END_SECONDS)

    def abort(self) -> None:
        """End it now, from any thread: what waits for it raises Unavailable."""
        self._process.kill()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._end(_END_SECONDS)

    def _end(self, seconds: float) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _write(self, body: bytes) -> None:
        rest = memoryview(len(body).to_bytes(4, "big") + body)
        while rest:
            try:
                rest = rest[os.write(self._in, rest) :]
            except BlockingIOError:
                self._await(self._in, select.POLLOUT)
            except OSError as error:
                raise Unavailable(f"the search indexer ended: {error}") from error

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            self._await(self._out, select.POLLIN)
            part = os.read(self._out, size - len(found))
            if not part:
                raise Unavailable("the search indexer ended")
            found += part
        return found

    def _await(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(_PATIENCE * 1000):
            raise Unavailable(f"the search indexer hangs for {_PATIENCE:.0f} s")


def _is_json(change: list[Any]) -> bool:
    try:
        orjson.dumps(change)
    except (TypeError, ValueError):
        return False
    return True
