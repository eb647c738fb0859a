"""The REST API over HTTP: one call, one answer; refusals and silence become failures."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from isthmus.cli.errors import Failure, Refused, Unreachable
from isthmus.cli.progress import waiting
from isthmus.cli.targets import Target

PREFIX = "/api/v1"
TIMEOUT = httpx2.Timeout(30, connect=5)
PAGE = 500
MAX_PAGES = 10_000

Query = Mapping[str, str | int | bool | list[str] | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the decoded JSON, None for an empty answer."""

    body: Any
    etag: str | None


class Client:
    """Talks to one server. Raises `Refused` when it says no and `Unreachable` when it does not answer."""

    def __init__(self, target: Target) -> None:
        self.target = target
        if target.socket:
            probe(target)
        transport = httpx2.HTTPTransport(uds=str(target.socket)) if target.socket else None
        headers = {"Accept": "application/json"}
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        # Proxies of the environment are for the network, never for the socket.
        self._http = httpx2.Client(
            base_url=target.url,
            headers=headers,
            timeout=TIMEOUT,
            transport=transport,
            trust_env=transport is None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def patient(self, seconds: float) -> Self:
        """This client, waiting so long for each answer from now on."""
        self._http.timeout = httpx2.Timeout(seconds, connect=TIMEOUT.connect)
        return self

    def get(self, path: str, query: Query | None = None) -> Any:
        return self.call("GET", path, query=query).body

    def read(self, path: str) -> Answer:
        """An object together with its ETag, which an update of it has to name."""
        return self.call("GET", path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, query: Query | None = None) -> Any:
        return self.call("POST", path, body=body, query=query).body

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.call("PUT", path, body=body).body

    def patch(self, path: str, body: Mapping[str, Any], etag: str | None) -> Any:
        return self.call("PATCH", path, body=body, etag=etag).body

    def delete(self, path: str, query: Query | None = None) -> None:
        self.call("DELETE", path, query=query)

    def items(self, path: str, query: Query | None = None) -> list[Any]:
        """All rows of a list, page after page."""
        return list(self.stream(path, dict(query or {})))

    def stream(self, path: str, query: Query) -> Iterator[Any]:
        """The same, each page asked for when it is needed; `query` may name where to begin as `after`."""
        after = query.get("after")
        for _ in range(MAX_PAGES):
            page = self.get(path, {**query, "limit": PAGE, "after": after})
            yield from page["items"]
            after = page.get("next")
            if after is None:
                return
        raise Failure(f"{path} has more than {PAGE * MAX_PAGES} rows", "narrow the list down with its options")

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        etag: str | None = None,
    ) -> Answer:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        headers = {"If-Match": etag} if etag else {}
        try:
            with waiting(f"waiting for {self.target}"):
                response = self._http.request(method, PREFIX + path, params=asked, json=body, headers=headers)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise unreachable(self.target, error) from error
        return self._understand(response)

    def _understand(self, response: httpx2.Response) -> Answer:
        if response.status_code == httpx2.codes.NO_CONTENT:
            return Answer(None, None)
        try:
            body = response.json()
        except ValueError:
            body = None
        if response.is_success and body is not None:
            return Answer(body, response.headers.get("etag"))
        if response.is_client_error or response.is_server_error:
            if isinstance(body, dict):
                raise Refused(body)
            # Gateways speak for a server that they cannot reach, and do so in HTML.
            if response.status_code not in {502, 503, 504}:
                raise Refused.with_status(response.status_code, response.headers.get("x-request-id"))
        hint = "name the URL of the server itself, without a path"
        raise Unreachable(f"what answers at {self.target} is no Isthmus server ({response.status_code})", hint)


def probe(target: Target) -> None:
    """Raise `Unreachable` unless somebody listens on the socket. The HTTP library would not say why it failed."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT.connect)
            sock.connect(str(target.socket))
    except PermissionError:
        hint = "run the command as root, or sign in with isthmus login"
        raise Unreachable(f"you may not open {target}", hint) from None
    except OSError as error:
        hint = "start one with `isthmus server` (`make run` in a checkout), or name another with --server URL"
        raise Unreachable(f"no server answers at {target}: {error.strerror or error}", hint) from None


def unreachable(target: Target, error: Exception) -> Unreachable:
    """Why nobody answered, and what to look at."""
    reason = "no answer in time" if isinstance(error, httpx2.TimeoutException) else str(error) or type(error).__name__
    hint = "check the network in between and the log of the server" if target.socket is None else "look at its log"
    return Unreachable(f"{target} does not answer: {reason}", hint)
