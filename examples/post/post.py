"""A queue in a file of its own and a mailer that fills a folder.

Chosen with `para.q = "FileQueue"` and `para.emailer = "FolderMailer"`. The promises are those of
`thingstead.ports.queue` and `thingstead.ports.mailer`; `test_post.py` holds the queue to them.
"""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import thingstead
from thingstead.model.errors import Unavailable
from thingstead.ports.environment import Clock
from thingstead.ports.mailer import BATCH, Letter
from thingstead.ports.queue import Counts, Leased, Message

KEPT_DEAD = 1_000
_SECOND = 1_000_000
_TABLE = """CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT, lane TEXT, body BLOB, due INT, pushed INT,
    attempts INT DEFAULT 0, dead INT DEFAULT 0)"""
_PUSH = "INSERT INTO message(queue, lane, body, due, pushed) VALUES (?, ?, ?, ?, ?)"
_NEXT = """SELECT id, queue, lane, body, attempts, pushed FROM message AS it
    WHERE queue = ? AND NOT dead AND due <= ? AND (lane = '' OR id = (
        SELECT min(id) FROM message WHERE queue = it.queue AND lane = it.lane AND NOT dead))
    ORDER BY id"""
_RETRY = "UPDATE message SET lane = ?, body = ?, due = ?, attempts = attempts + 1 WHERE id = ? AND NOT dead"
_FORGET = """DELETE FROM message WHERE queue = ?1 AND dead AND id NOT IN (
    SELECT id FROM message WHERE queue = ?1 AND dead ORDER BY id DESC LIMIT ?2)"""
_COUNT = "SELECT coalesce(sum(NOT dead), 0), coalesce(sum(dead), 0) FROM message WHERE queue = ?"
_LENGTH = "SELECT count(*) FROM message WHERE queue = ? AND lane = ? AND NOT dead"


class FileQueue:
    """See `thingstead.ports.queue.Queue`. Leases are in memory: one process has the file."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """Raises Unavailable if the file cannot be opened."""
        self._clock = clock
        self._leases: dict[int, int] = {}
        self._watching: dict[str, list[Callable[[], None]]] = {}
        try:
            self._db = sqlite3.connect(file, isolation_level=None)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_TABLE)
        except sqlite3.Error as error:
            raise Unavailable(f"the queue {file} cannot be opened: {error}") from error

    async def push(self, messages: Sequence[Message]) -> None:
        now = self._clock.now()
        rows = [(each.queue, each.lane, each.body, now + int(each.after * _SECOND), now) for each in messages]
        self._write((_PUSH, row) for row in rows)
        for name in {each.queue for each in messages}:
            for pushed in self._watching.get(name, ()):
                asyncio.get_running_loop().call_soon(pushed)

    async def lease(self, queue: str, limit: int, seconds: float) -> list[Leased]:
        now = self._clock.now()
        self._leases = {id: until for id, until in self._leases.items() if until > now}
        found: list[Leased] = []
        for id, name, lane, body, attempts, pushed in self._rows(_NEXT, queue, now):
            if len(found) == limit:
                break
            if id not in self._leases:
                self._leases[id] = now + int(seconds * _SECOND)
                found.append(Leased(str(id), name, lane, body, attempts, pushed))
        return found

    async def ack(self, messages: Sequence[Leased]) -> None:
        self._settle(messages, [("DELETE FROM message WHERE id = ?", (int(each.id),)) for each in messages])

    async def retry(
        self, message: Leased, seconds: float, *, lane: str | None = None, body: bytes | None = None
    ) -> None:
        due = self._clock.now() + int(seconds * _SECOND)
        lane, body = message.lane if lane is None else lane, message.body if body is None else body
        self._settle([message], [(_RETRY, (lane, body, due, int(message.id)))])

    async def bury(self, message: Leased) -> None:
        dead = "UPDATE message SET dead = 1 WHERE id = ?"
        self._settle([message], [(dead, (int(message.id),)), (_FORGET, (message.queue, KEPT_DEAD))])

    async def count(self, queue: str) -> Counts:
        return Counts(*self._rows(_COUNT, queue)[0])

    async def length(self, queue: str, lane: str) -> int:
        return self._rows(_LENGTH, queue, lane)[0][0]

    def watch(self, queue: str, pushed: Callable[[], None]) -> None:
        self._watching.setdefault(queue, []).append(pushed)

    async def close(self) -> None:
        """thingstead calls it last."""
        self._db.close()

    def _settle(self, messages: Sequence[Leased], steps: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        self._write(steps)
        for each in messages:
            self._leases.pop(int(each.id), None)

    def _write(self, steps) -> None:
        try:
            with self._db:
                self._db.execute("BEGIN")
                for statement, values in steps:
                    self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise Unavailable(f"the queue cannot be written: {error}") from error

    def _rows(self, statement: str, *values: object) -> list[tuple]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the queue cannot be read: {error}") from error


class FolderMailer:
    """See `thingstead.ports.mailer.Mailer`: each message becomes a file, for something else to carry on."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._sent = 0

    async def send(self, letter: Letter) -> bool:
        file = letter.attachment
        for start in range(0, len(letter.addresses), BATCH):
            to, *blind = letter.addresses[start : start + BATCH]
            message = {
                "from": letter.sender,
                "name": letter.name,
                "reply_to": letter.reply_to,
                "to": to,
                "blind": blind,
                "subject": letter.subject,
                "html" if letter.html else "text": letter.body,
                "file": file and {"name": file.name, "data": base64.b64encode(file.data).decode()},
            }
            self._sent += 1
            path = self._folder / f"{self._clock.now()}-{self._sent}.json"
            try:
                path.with_suffix(".part").write_text(json.dumps(message))
                path.with_suffix(".part").replace(path)
            except OSError as error:
                raise Unavailable(f"the letter cannot be kept: {error}") from error
        return True


async def _queue(place: thingstead.Place) -> FileQueue:
    return FileQueue(place.directory / "queue.db", place.clock)


async def _mailer(place: thingstead.Place) -> FolderMailer:
    return FolderMailer(place.directory / "letters", place.clock)


file_queue = thingstead.Engine("q", _queue)
folder_mailer = thingstead.Engine("emailer", _mailer)
