"""Where the log of every process goes: lines for people on a terminal, JSON for everyone else, on standard error."""

import contextlib
import logging
import os
import sys
from typing import TextIO, cast

import structlog

WATCHED = "FORCE_COLOR"
"""Set by whoever shows our output to a person though it is no terminal: https://force-color.org."""


class Unfailing:
    """A stream for the log: a full disk below it, or nobody who reads, must stop no call. What could not be written is
    counted, and told once something can be."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            if self._lost:
                self._stream.write(f"{self._lost} lines of the log could not be written\n")
                self._stream.flush()
                self._lost = 0
            self._stream.write(text)
            return len(text)
        self._lost += text.count("\n")
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(level: str = "info") -> None:
    """Call once, before the first line. `level` is debug, info, warning or error."""
    renderer: structlog.typing.Processor
    if sys.stderr.isatty() or os.environ.get(WATCHED):
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard library's logging speak up only when something is wrong.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
