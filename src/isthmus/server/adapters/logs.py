"""What the server leaves out of its log."""

import logging

from isthmus import logs


def configure_logs(level: str) -> None:
    logs.configure(level)
    logging.getLogger("uvicorn.error").addFilter(is_no_refused_handshake)


def is_no_refused_handshake(record: logging.LogRecord) -> bool:
    """uvicorn takes a WebSocket that was answered with a problem document for one that was left without an answer; the
    refusal is in the audit log already."""
    return record.getMessage() != "ASGI callable returned without completing handshake."
