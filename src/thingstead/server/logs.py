"""Log lines: one logfmt line an event on standard error, whichever library wrote it. Standard output stays empty.

Levels: what an operator should see (warnings), and the audit trail (identity.md 17). Secrets are never logged.
"""

import logging
import sys

import structlog

_ORDER = ("timestamp", "level", "logger", "event")


def configure() -> None:
    """Set up structlog and the standard library's logging, once, at the start of the process."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    render = structlog.processors.LogfmtRenderer(key_order=_ORDER, drop_missing=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                stamp,
                structlog.processors.format_exc_info,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("thingstead.audit").setLevel(logging.INFO)
