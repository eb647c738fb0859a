"""Where the Federator's log goes: lines for people on a terminal, JSON for everyone else, both on standard error."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Call once, before the first line. `level` is debug, info, warning or error."""
    number = logging.getLevelNamesMapping()[level.upper()]
    last: structlog.typing.Processor
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
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
