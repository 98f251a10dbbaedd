"""Log lines: one logfmt line an event, whichever library wrote it, on standard error and in `para.log` (objects.md 19).

Standard error has what an operator should see at once: warnings, and the audit trail (identity.md 17); the file has all
lines from `para.file_logger_level` on. Secrets are never logged.
"""

import logging
import sys
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, WrappedLogger

from thingstead.core.audit import LOGGER as AUDIT
from thingstead.model.audit import ATTRIBUTE
from thingstead.server.logs.files import LogFiles

METRICS = "thingstead.metrics"  # what is logged here goes to para-metrics.log and nowhere else
_ORDER = ("timestamp", "level", "logger", "event")
_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "OFF": 100}


class _Lines:
    """What structlog writes to: standard error, and the file from its level on."""

    def __init__(self, files: LogFiles | None, level: int) -> None:
        self._files = files
        self._level = level

    def _write(self, line: str, level: int) -> None:
        if level >= logging.INFO:
            print(line, file=sys.stderr, flush=True)
        if self._files is not None and level >= self._level:
            self._files.app.put(line)

    def debug(self, line: str) -> None:
        """As the standard library's."""
        self._write(line, logging.DEBUG)

    def info(self, line: str) -> None:
        """As the standard library's."""
        self._write(line, logging.INFO)

    def warning(self, line: str) -> None:
        """As the standard library's."""
        self._write(line, logging.WARNING)

    def error(self, line: str) -> None:
        """As the standard library's."""
        self._write(line, logging.ERROR)

    def critical(self, line: str) -> None:
        """As the standard library's."""
        self._write(line, logging.CRITICAL)

    warn = warning
    exception = error
    failure = error
    fatal = critical
    err = error
    msg = info
    log = info


class _FileHandler(logging.Handler):
    """Gives formatted records to a log file."""

    def __init__(self, put: Callable[[str], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Format here, so that nothing a record refers to is changed or kept until it is written."""
        try:
            self._put(self.format(record))
        except Exception:
            self.handleError(record)


def _shown(record: logging.LogRecord) -> bool:
    return record.levelno >= (logging.INFO if record.name == AUDIT else logging.WARNING)


def _audited(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """An entry of the audit trail as fields of the line instead of one text."""
    event.update(getattr(event["_record"], ATTRIBUTE, {}))
    return event


def configure(files: LogFiles | None = None, file_level: str = "INFO") -> None:
    """Set up structlog and the standard library's logging; again, once the settings name the files."""
    level = _LEVELS[file_level.upper()]
    least = max(min(level, logging.INFO), logging.DEBUG)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    render = structlog.processors.LogfmtRenderer(key_order=_ORDER, drop_missing=True)
    lines = _Lines(files, level)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, structlog.processors.format_exc_info, render],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=files is not None,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _audited,
            stamp,
            structlog.processors.format_exc_info,
        ],
    )
    console = logging.StreamHandler(sys.stderr)
    console.addFilter(_shown)
    handlers: list[logging.Handler] = [console]
    metrics = logging.getLogger(METRICS)
    metrics.propagate = False
    metrics.setLevel(logging.INFO)
    metrics.handlers = [logging.NullHandler()]
    if files is not None:
        handlers.append(_FileHandler(files.app.put))
        handlers[-1].setLevel(level)
        metrics.handlers = [_FileHandler(files.metrics.put)]
    for handler in (*handlers, *metrics.handlers):
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=min(level, logging.WARNING), force=True)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it tells of every WebSocket, on the way of requests
    logging.getLogger("asyncio").setLevel(logging.WARNING)
