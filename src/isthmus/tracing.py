"""Spans for OpenTelemetry, sent to whom OTEL_EXPORTER_OTLP_ENDPOINT names. Where nobody is named, nothing is imported,
kept or sent.

The number of a trace is made of the id that the first backend gave the request, which goes from process to process
already: one call is one trace on both sides of a federation, without a header more. A span holds names, codes and ids
and no text of a body, no token and no key.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import UUID

from isthmus import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SEND_SECONDS = 5

_tracer: "Tracer | None" = None
_number: ContextVar[int] = ContextVar("number of the trace")


class TracingUnusable(Exception):
    """Traces are asked for, and what sends them is not installed."""


class Noted:
    """What a span is told while it lasts. This one is told in vain."""

    def note(self, **facts: str | int) -> None:
        """Add facts, whose names get `isthmus.` before them."""

    def failed(self, code: str) -> None:
        """It ended in a refusal, or broke."""


class _Noted(Noted):
    def __init__(self, span: "Span") -> None:
        self._span = span

    def note(self, **facts: str | int) -> None:
        for name, value in facts.items():
            self._span.set_attribute(f"isthmus.{name}", value)

    def failed(self, code: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self.note(code=code)
        self._span.set_status(Status(StatusCode.ERROR))


_IN_VAIN = Noted()


def is_on() -> bool:
    return _tracer is not None


def span(name: str, request_id: str, *, since: int | None = None, **facts: str | int) -> AbstractContextManager[Noted]:
    """A part of what `request_id` is about, as long as the block runs; `since` says that it began before, in
    nanoseconds of Unix time. Inside of another span of this process it is a part of that one."""
    return nullcontext(_IN_VAIN) if _tracer is None else _begun(_tracer, name, request_id, since, facts)


@contextmanager
def _begun(
    tracer: "Tracer", name: str, request_id: str, since: int | None, facts: dict[str, str | int]
) -> Iterator[Noted]:
    token = _number.set(number_of(request_id))
    try:
        # An exception's text may hold anything.
        with tracer.start_as_current_span(
            name, start_time=since, record_exception=False, set_status_on_exception=False
        ) as begun:
            noted = _Noted(begun)
            noted.note(request_id=request_id, **facts)
            yield noted
    finally:
        _number.reset(token)


def number_of(request_id: str) -> int:
    """128 bits, the same at every backend that the id reaches; never 0."""
    try:
        return UUID(request_id).int or 1
    except ValueError:
        return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:16]) or 1


def now() -> int:
    """For `since`."""
    return time.time_ns()


@contextmanager
def sending(process: str) -> Iterator[None]:
    """Send the spans of this process while the block runs, if somebody is named to take them. What waits at the end is
    sent before. Raises `TracingUnusable`."""
    global _tracer  # noqa: PLW0603  # one process has one, as it has one log
    if not any(os.environ.get(name) for name in ENDPOINTS):
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ModuleNotFoundError as error:
        hint = 'install them, as pip install "isthmus[tracing]" does, or unset OTEL_EXPORTER_OTLP_ENDPOINT'
        raise TracingUnusable(f"traces are asked for, and {error.name} is not installed: {hint}") from None

    class Numbers(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _number.get()

    about = Resource.create({"service.name": f"isthmus-{process}", "service.version": __version__})
    provider = TracerProvider(resource=about, id_generator=Numbers())
    # Bounded by itself: what comes while too many spans wait is left out.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=SEND_SECONDS)))
    _tracer = provider.get_tracer("isthmus", __version__)
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()
