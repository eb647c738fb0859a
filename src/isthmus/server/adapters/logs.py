"""What the server leaves out of its log."""

import logging

from isthmus import logs

REFUSALS = frozenset({"ASGI callable returned without completing handshake.", "Invalid HTTP request received."})


def configure_logs(level: str) -> None:
    logs.configure(level)
    logging.getLogger("uvicorn.error").addFilter(is_no_refusal)


def is_no_refusal(record: logging.LogRecord) -> bool:
    """uvicorn takes a WebSocket that was answered with a problem document for one that was left without an answer, and
    has a line for whatever cannot be read; those refusals are in the audit log already, where they are counted."""
    return record.getMessage() not in REFUSALS
