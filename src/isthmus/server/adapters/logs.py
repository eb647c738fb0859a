"""Logs on standard error: JSON lines, or plain ones where a person watches."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    last = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    # Libraries that use the standard library's logging speak up only when something is wrong.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").addFilter(is_no_refused_handshake)


def is_no_refused_handshake(record: logging.LogRecord) -> bool:
    """uvicorn takes a WebSocket that was answered with a problem document for one that was left without an answer; the
    refusal is in the audit log already."""
    return record.getMessage() != "ASGI callable returned without completing handshake."
