"""Progress of a command: a bar on a terminal, a line now and then where there is none."""

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

BAR_SECONDS: Final = 0.1
LINE_SECONDS: Final = 5.0
_WIDTH: Final = 30


class Bar:
    """Call it with what is done of what; a total of 0: nobody knows. `quiet` shows nothing."""

    def __init__(
        self,
        what: str,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._quiet = quiet
        self._timer = timer
        self._shown = timer()
        self._pause = BAR_SECONDS if self._terminal else LINE_SECONDS
        self._drawn = False

    def __call__(self, done: int, total: int) -> None:
        """Show it, unless something was shown a moment ago."""
        now = self._timer()
        if self._quiet or now - self._shown < self._pause:
            return
        self._shown = now
        text = f"{done:,} of {total:,} {self._what}" if total else f"{done:,} {self._what}"
        if self._terminal:
            part = min(1.0, done / total) if total else 0.0
            bar = "#" * round(part * _WIDTH)
            self._stream.write(f"\r[{bar:<{_WIDTH}}] {text}\x1b[K" if total else f"\r{text}\x1b[K")
            self._drawn = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the line free for what comes next."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False
