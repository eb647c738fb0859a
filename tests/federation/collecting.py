"""A collector of traces on a host of the lab: what is sent to it by OTLP over HTTP."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lab.host import Host

PORT = 4318


@dataclass(frozen=True)
class Spanned:
    """One span. `trace` is the number of its trace; facts have no `isthmus.` before their names."""

    process: str
    name: str
    trace: int
    seconds: float
    facts: dict[str, str]


@dataclass
class Collector:
    """`raw` is all that was sent, byte by byte."""

    host: Host
    spans: list[Spanned] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host.ipv4}:{PORT}"

    def __enter__(self) -> Self:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((str(self.host.ipv4), PORT), Handler, bind_and_activate=False)
        # Its own socket would be one of our network and not of the host's.
        self._server.socket.close()
        self._server.socket = self.host.open_socket()
        self._server.allow_reuse_address = True
        self._server.socket.bind((str(self.host.ipv4), PORT))
        self._server.server_address = self._server.socket.getsockname()
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    facts = {
                        each.key.removeprefix("isthmus."): each.value.string_value or str(each.value.int_value)
                        for each in span.attributes
                    }
                    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
                    number = int.from_bytes(span.trace_id)
                    self.spans.append(Spanned(about["service.name"], span.name, number, seconds, facts))

    def of(self, trace: int) -> list[Spanned]:
        return [each for each in list(self.spans) if each.trace == trace]
