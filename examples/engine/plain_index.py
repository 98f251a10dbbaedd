"""A search engine for small data: all documents in memory, and in one file that each commit replaces.

Chosen with `para.search = "PlainIndex"`. Answers come from thingstead's own rules of queries, so there is little here
but keeping the promises of `thingstead.ports.index`; `test_plain_index.py` holds it to them.
"""

import fcntl
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import thingstead
from thingstead.model.errors import Unavailable
from thingstead.model.query.fields import flatten
from thingstead.model.query.predicate import matches
from thingstead.model.query.sort import in_order, sort_keys
from thingstead.ports.index import Change, Document, Hit, Hits, Removal, SearchRequest

Documents: TypeAlias = Mapping[tuple[str, str], Document]


class PlainSnapshot:
    """The documents of one commit."""

    def __init__(self, seq: int, documents: Documents) -> None:
        self.seq = seq
        self._documents = documents

    async def search(self, request: SearchRequest) -> Hits:
        """Looks at every document of the app."""
        found = [
            Hit(document.id, document.docid, sort_keys(flatten(document.fields), document.docid, request.sort))
            for document in self._documents.values()
            if document.app == request.app
            and request.type in (None, document.type)
            and document.id not in request.exclude
            and matches(request.query, document.fields)
        ]
        total = len(found)
        if request.after is not None:
            after, down = request.after, request.sort[0].desc
            found = [hit for hit in found if (hit.docid < after if down else hit.docid > after)]
        hits = in_order(found, request.sort, lambda hit: hit.docid, lambda hit: hit.keys)
        return Hits(total, hits[request.offset : request.offset + request.limit])


class PlainIndex:
    """See `thingstead.ports.index.Index`."""

    def __init__(self, directory: Path, store: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._store = store
        self._file = directory / "documents"
        self._lock = (directory / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise Unavailable(f"the index {directory} is in use") from None
        self._closed = False
        self._waiting: list[Change] = []
        self._snapshot = PlainSnapshot(0, {})
        self._documents: Documents = {}
        try:
            of, seq, documents = pickle.loads(self._file.read_bytes())
        except Exception:  # new, or cut off: built anew from the store
            of, seq, documents = store, 0, {}
        if of != store:
            seq, documents = 0, {}
            self._save(0, {})
        self._take(seq, documents)

    @classmethod
    async def open(cls, directory: Path, store: str) -> "PlainIndex":
        """Raises Unavailable if another process has it."""
        return cls(directory, store)

    async def position(self) -> int:
        return self._snapshot.seq

    def enqueue(self, changes: Sequence[Change]) -> None:
        self._check()
        self._waiting.extend(changes)

    async def room(self) -> None:
        if len(self._waiting) > 10_000:
            await self.commit()

    async def commit(self, seq: int = 0) -> int:
        self._check()
        waiting, documents = self._waiting, dict(self._documents)
        position = max(self._snapshot.seq, seq, *(change.seq for change in waiting), 0)
        if waiting or position > self._snapshot.seq:
            for change in waiting:
                documents.pop((change.app, change.id), None)
                if not isinstance(change, Removal):
                    documents[change.app, change.id] = change
            self._save(position, documents)
            self._waiting = []
            self._take(position, documents)
        return position

    def snapshot(self) -> PlainSnapshot:
        self._check()
        return self._snapshot

    async def clear(self) -> None:
        self._check()
        self._waiting = []
        self._save(0, {})
        self._take(0, {})

    async def drop_app(self, app: str) -> None:
        await self.commit()
        documents = {key: document for key, document in self._documents.items() if key[0] != app}
        self._save(self._snapshot.seq, documents)
        self._take(self._snapshot.seq, documents)

    async def close(self) -> None:
        if not self._closed:
            await self.commit()
            self._closed = True
            self._lock.close()

    def _check(self) -> None:
        if self._closed:
            raise Unavailable("the index is closed")

    def _take(self, seq: int, documents: Documents) -> None:
        self._documents = documents
        self._snapshot = PlainSnapshot(seq, documents)

    def _save(self, seq: int, documents: Documents) -> None:
        """Replace the file as a whole, durably."""
        part = self._file.with_suffix(".part")
        try:
            with part.open("wb") as stream:
                pickle.dump((self._store, seq, dict(documents)), stream)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self._file)
        except OSError as error:
            raise Unavailable(f"the index cannot be written: {error}") from error


async def _open(place: thingstead.Place) -> PlainIndex:
    return await PlainIndex.open(place.directory / "plain-index", place.store)


engine = thingstead.Engine("search", _open)
