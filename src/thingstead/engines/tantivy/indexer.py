"""The indexer: a process of its own that writes the index, `python -m thingstead.engines.tantivy.indexer DIRECTORY
STORE`; see `child` for who starts it.

Frames of 4 bytes of length (big-endian) and JSON, on standard input: a list of changes (a document as `[app, id, type,
docid, new, fields]`, a removal as `[app, id]`, `[app]` drops an app and `[null]` everything), a number (commit; that
seq is the position then), or `null` (finish merging and end). Only a commit is answered, on standard output, with
`{"seq", "refused"}`: `refused` counts the documents since the last answer that tantivy would not take. A failure is
answered with `{"error"}` and ends the process.

Promises: ends when standard input does, whatever signals a terminal sends; commits nothing for an owner that is gone.
Imports little, for its memory and start.
"""

import gc
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import tantivy

from thingstead.engines.tantivy.directory import LOCK_SECONDS, write_position
from thingstead.engines.tantivy.schema import encode, key, schema, scope
from thingstead.ports.index import Document

_HEAP = 50_000_000
_READ = 256 * 1024
_TRIM_SECONDS = 30.0


class _Indexer:
    def __init__(self, directory: Path, store: str) -> None:
        self._directory = directory
        self._store = store
        self._refused = 0
        self._changed = False
        self._trimmed = time.monotonic()
        self._writer = _writer(tantivy.Index(schema(), str(directory), reuse=True))

    def apply(self, changes: list[list[Any]]) -> None:
        """Not durable, nor visible, before `commit`."""
        self._changed = True
        writer = self._writer
        for change in changes:
            match change:
                case [app, id, type, docid, new, fields]:
                    if not new:
                        writer.delete_documents_by_term("key", key(app, id))
                    try:
                        writer.add_json(encode(Document(app, id, type, docid, 0, fields)))
                    except (ValueError, TypeError, OverflowError):
                        self._refused += 1
                case [app, id]:
                    writer.delete_documents_by_term("key", key(app, id))
                case [None]:
                    writer.delete_documents_by_query(tantivy.Query.all_query())
                case [app]:
                    writer.delete_documents_by_term("scope", scope(app, None))
                case _:
                    raise ValueError("an unknown change")

    def commit(self, seq: int) -> dict[str, int]:
        """The answer, once everything is durable."""
        if self._changed:
            self._writer.commit()
            self._changed = False
        write_position(self._directory, self._store, seq)
        refused, self._refused = self._refused, 0
        return {"seq": seq, "refused": refused}

    def tidy(self) -> None:
        """To be called between commits; costs a few milliseconds at times."""
        now = time.monotonic()
        if now - self._trimmed >= _TRIM_SECONDS:
            self._trimmed = now
            give_back()

    def close(self) -> None:
        """Finish merging."""
        self._writer.wait_merging_threads()


def _writer(index: tantivy.Index) -> tantivy.IndexWriter:
    """A writer, as soon as a process that is ending lets go of the directory."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return index.writer(_HEAP, num_threads=1)
        except ValueError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def give_back() -> None:
    """Return free memory to the system. glibc would keep most of what a merge of segments has used, for ever."""
    import ctypes  # seldom needed, and not small

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        trim(0)


def _frames(source: BinaryIO) -> Iterator[Any]:
    while len(head := source.read(4)) == 4:
        size = int.from_bytes(head, "big")
        body = source.read(size)
        if len(body) < size:
            return
        yield orjson.loads(body)


def _orphaned(descriptor: int) -> bool:
    """True if nobody holds the other end, even if there is more to read."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def main(directory: Path, store: str) -> None:
    """Serve frames until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    source = open(0, "rb", buffering=_READ, closefd=False)  # noqa: SIM115

    def answer(message: dict[str, Any]) -> None:
        body = orjson.dumps(message)
        sys.stdout.buffer.write(len(body).to_bytes(4, "big") + body)
        sys.stdout.buffer.flush()

    try:
        indexer = _Indexer(directory, store)
        for message in _frames(source):
            if isinstance(message, list):
                indexer.apply(cast(list[list[Any]], message))
            elif message is None:
                indexer.close()
                return
            elif _orphaned(source.fileno()):
                return
            else:
                answer(indexer.commit(message))
                indexer.tidy()
    except BrokenPipeError:
        return
    except BaseException as error:  # pyo3's panics are no Exceptions
        answer({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
