"""Commands of the command line in this process: quicker than a process each. Logging is put back as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from thingstead.server.cli import command as cli
from thingstead.server.logs import lines as logs

_NAMES = (logs.METRICS, logs.AUDIT, "uvicorn.error", "asyncio")


@contextmanager
def logging_restored() -> Iterator[None]:
    """`logs.configure` may be called inside."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    held = [(logging.getLogger(name), logging.getLogger(name).level) for name in _NAMES]
    root.handlers[:] = []  # configure would close those of pytest
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for logger, before in held:
            logger.setLevel(before)
        metrics = logging.getLogger(logs.METRICS)
        metrics.handlers, metrics.propagate = [], True
        structlog.reset_defaults()


class Commands:
    """Runs commands; `capture` is pytest's."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Standard output and standard error of a command that ends with `code`."""
        self._capture.readouterr()
        said = ""
        found: object = 0
        with logging_restored():
            try:
                cli.app(list(arguments), result_action="return_none")
            except SystemExit as ended:
                found = ended.code or 0
        if isinstance(found, str):  # as the interpreter does
            said, found = found + "\n", 1
        out, err = self._capture.readouterr()
        assert found == code, (out, err, said)
        return out, err + said

    def refused(self, *arguments: str) -> str:
        """The one line of a command that fails."""
        out, err = self.run(*arguments, code=1)
        [line] = err.splitlines()
        assert out == ""
        assert line.startswith("thingstead: ")
        return line.removeprefix("thingstead: ")
