"""The log files (objects.md 19): para.log, para-metrics.log and para-access.log, rotated by size, written by one
thread.

Promises: giving a line costs an append to a queue and never waits for the disk; a queue is bounded, and what does not
fit is counted and told in the file; `close` writes what was given. A `kill -9` loses at most the lines of the last half
second, which are on standard error as far as they matter. A disk that fails is told once on standard error and stops no
request.
"""

import logging
import sys
import threading
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from thingstead.model.errors import InvalidInput

QUEUE_LINES: Final = 20_000
BATCH_LINES: Final = 500  # lines of one write
INTERVAL: Final = 0.1  # s between two looks at the queues
KEPT: Final = 5  # older files kept beside the one being written
APP_BYTES: Final = 10 * 1024 * 1024
ACCESS_BYTES: Final = 50 * 1024 * 1024


class _Rotating(RotatingFileHandler):
    """Tells a failure once instead of a traceback for each line."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        super().__init__(file, maxBytes=max_bytes, backupCount=KEPT, encoding="utf-8", errors="backslashreplace")
        self._told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """See the class."""
        if not self._told:
            self._told = True
            print(f"thingstead: {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)


class LogFile:
    """One file and the lines that wait for it. `put` may be called from any thread."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        self._handler = _Rotating(file, max_bytes)
        self._lines: deque[str] = deque()
        self._dropped = 0

    def put(self, line: str) -> None:
        """Give a line, without its end."""
        if len(self._lines) < QUEUE_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1

    def drain(self) -> None:
        """Write what waits; for the one thread that writes."""
        while self._lines:
            batch: list[str] = []
            while self._lines and len(batch) < BATCH_LINES:
                batch.append(self._lines.popleft())
            self._write("\n".join(batch))
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._write(f"{dropped} lines were dropped: they came faster than they could be written")

    def _write(self, text: str) -> None:
        self._handler.emit(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        """Write what waits and close the file."""
        self.drain()
        self._handler.close()


class LogFiles:
    """The three files; made when the server starts, closed last."""

    def __init__(self, folder: Path, stem: str) -> None:
        """Open them in `folder`, which is made if need be. Raises InvalidInput if that fails."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.app = LogFile(folder / f"{stem}.log", APP_BYTES)
            self.metrics = LogFile(folder / f"{stem}-metrics.log", APP_BYTES)
            self.access = LogFile(folder / f"{stem}-access.log", ACCESS_BYTES)
        except OSError as error:
            message = f"para.logs_dir: no log files in {folder}: {error.strerror}"
            raise InvalidInput(message, field="para.logs_dir") from None
        self._files = (self.app, self.metrics, self.access)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="log files", daemon=True)
        self._thread.start()

    def _write(self) -> None:
        while not self._ended.wait(INTERVAL):
            for file in self._files:
                file.drain()

    def close(self) -> None:
        """Write everything that was given."""
        self._ended.set()
        self._thread.join()
        for file in self._files:
            file.close()
