"""What nginx says no with, and the problem document that the caller gets for it."""

from dataclasses import dataclass

import msgspec

from isthmus.protocol.problem import STATUS, Stage, problem

RETRY_SECONDS = 2
ID_PLACE = "$isthmus_request_id"
# Not statuses of HTTP: by them one location tells another why it refuses.
QUERY, MALFORMED, HOST = 470, 471, 472


@dataclass(frozen=True, slots=True)
class Answer:
    """`causes` are what nginx itself finishes a request with; it is answered with `status`."""

    code: str
    causes: tuple[int, ...]
    status: int
    detail: str

    @property
    def location(self) -> str:
        """An address inside the server. A named location would not do: nginx has no way to it from a request line that
        it could not read."""
        return f"/-/{self.code}/{self.status}"

    @property
    def body(self) -> str:
        """The problem document, with the variable of the request's id where that belongs."""
        members = {"retry_after": RETRY_SECONDS} if self.retry_after else {}
        document = problem(self.code, Stage.INGRESS, ID_PLACE, self.detail, status=self.status, **members)
        return msgspec.json.encode(document).decode("ascii")

    @property
    def retry_after(self) -> bool:
        return self.status in (429, 503, 504)


def answer(code: str, causes: tuple[int, ...], detail: str, status: int | None = None) -> Answer:
    return Answer(code, causes, STATUS[code] if status is None else status, detail)


ANSWERS = (
    answer("client_certificate_required", (496,), "this listener takes requests with a client certificate alone"),
    answer("client_certificate_rejected", (495,), "no trust anchor of this backend verifies the client certificate"),
    answer("malformed_request", (400, 408, 411, 412, 416, 417, 497, 501, 505, MALFORMED), "no HTTP/1.1 over TLS"),
    answer("query_not_allowed", (QUERY,), "a call has no query"),
    answer("misdirected_request", (421, HOST), "the Host of the request is not the server name of the session"),
    answer("route_not_found", (403, 404), "there is no such call"),
    answer("method_not_allowed", (405,), "calls are made with POST"),
    answer("body_too_large", (413,), "the body is larger than this listener takes"),
    answer("headers_too_large", (414, 431, 494), "the request line and the headers together may have 16 KiB"),
    answer("connection_limit", (429,), "too many requests of this source at a time"),
    answer("upstream_unavailable", (502, 503), "the Federator of this backend does not answer"),
    answer("upstream_unavailable", (504,), "the Federator of this backend did not answer in time", 504),
    answer("internal", (500,), ""),
)  # fmt: skip
