"""What is a call: one shape of path, one method, no query, and a body of a bounded size."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from isthmus.protocol.federation import API_VERSION, MOST_REQUEST
from tests.federation import named
from tests.federation.behind import behind
from tests.federation.checks import clean_request, refusing_each
from tests.federation.party import CALL, Party
from tests.federation.planting import weak_federator
from tests.federation.wire import Answer

PATH = CALL.partition(" ")[2]
NO_ROUTES = (
    "/", "/federation", "/federation/", "/federation/directory", "/federation/directory/", f"{PATH}/", f"{PATH}/x",
    f"/{PATH}", "/federation//directory/get-user-by-handle", "/federation/directory//get-user-by-handle",
    "/federation/./directory/get-user-by-handle", "/federation/directory/../directory/get-user-by-handle",
    "/x/../federation/directory/get-user-by-handle",
    "/federation/directory/%2e%2e/directory/get-user-by-handle", "/federation%2fdirectory%2fget-user-by-handle",
    "/federation/directory%5cget-user-by-handle", "/federation/directory%252fget-user-by-handle",
    "/federation/directory/get-user-by-handle%c0%af", "/federation/directory%c0%afget-user-by-handle",
    "/FEDERATION/directory/get-user-by-handle", "/federation/directory/get-user-by-handle;x=1",
)  # fmt: skip
UNREADABLE = ("", "*", "federation/directory/get-user-by-handle", f"{PATH} x")
UNREADABLE_TO_NGINX = (
    "/../federation/directory/get-user-by-handle", "/%2e%2e/federation/directory/get-user-by-handle", f"{PATH}%00",
    f"{PATH}%zz",
)  # fmt: skip
ABSOLUTE = ("https://infra.b.example" + PATH, "http://infra.b.example:8443" + PATH)
OTHER_METHODS = ("GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS")
OVERRIDES = ("X-HTTP-Method-Override", "x-http-method", "X-Method-Override")
INSIDE = ("internal", "health", "metrics", "admin", "ready", "users", "remotes", "audit")


@pytest.mark.case("PATH-001")
def test_only_the_exact_path_is_a_route(a: Party, b: Party) -> None:
    with refusing_each(b) as refuse:
        for path in (*NO_ROUTES, *ABSOLUTE):
            refuse(a.asks(b, a.request(b, f"POST {path}")), 404, "route_not_found")
        for path in (*UNREADABLE, *UNREADABLE_TO_NGINX):
            refuse(a.asks(b, a.request(b, f"POST {path}")), 400, "malformed_request")
    assert refuse.passed_on == 0
    clean_request(a, b)


@pytest.mark.case("PATH-001")
def test_the_federator_goes_by_the_exact_path_too(a: Party, b: Party) -> None:
    federator = behind(a, b)
    with refusing_each(b, beside_the_ingress=True) as refuse:
        for path in (*NO_ROUTES, *ABSOLUTE, *UNREADABLE_TO_NGINX):
            answer = federator.asks(federator.request(f"POST {path}"))
            refuse(answer, 404, "route_not_found", "route.path")
        for path in UNREADABLE:
            refuse(federator.asks(federator.request(f"POST {path}")), 400, "malformed_request", "http")
    assert federator.asks().status == 200


@pytest.mark.case("PATH-002")
def test_paths_are_matched_on_raw_bytes(a: Party, b: Party) -> None:
    named.encoded_paths_are_no_routes(a, b)


@pytest.mark.case("PATH-003")
def test_internal_and_unknown_routes_look_alike(a: Party, b: Party) -> None:
    calls = [f"directory/{name}" for name in (*INSIDE, "get-everything", "get-later")]
    calls += [f"{name}/get-user-by-handle" for name in (*INSIDE, "nothing")] + ["handshake/health", "heartbeat/metrics"]
    told = []
    with weak_federator(b, "later-call"):
        with refusing_each(b) as refuse:
            for call in calls:
                answer = a.asks(b, a.request(b, f"POST /federation/{call}"))
                told.append(but_for_ids(refuse(answer, 404, "route_not_found", "route.unknown")))
        # A version that we do not speak leads nowhere either, and tells nothing of what it would have.
        with refusing_each(b) as refuse:
            for call in ("directory/get-later", "directory/get-everything"):
                data = a.request(b, f"POST /federation/{call}", changed={API_VERSION: "1"})
                refuse(a.asks(b, data), 400, "unsupported_version")
        assert a.asks(b).status == 200
    for one, other in pairwise(told):
        assert one == other
    clean_request(a, b)


def but_for_ids(answer: Answer) -> object:
    # A worker of nginx that a reload has replaced closes the connection.
    varying = {"x-request-id", "date", "connection"}
    headers = [(name, value) for name, value in answer.headers if name.lower() not in varying]
    return answer.status, headers, {**answer.json, "instance": "", "request_id": ""}


@pytest.mark.case("PATH-004")
def test_only_post_without_a_query_is_taken(a: Party, b: Party) -> None:
    federator = behind(a, b)
    with refusing_each(b) as refuse:
        for method in OTHER_METHODS:
            refuse(a.asks(b, a.request(b, f"{method} {PATH}")), 405, "method_not_allowed")
        for name in OVERRIDES:
            for method in ("DELETE", "POST"):
                refuse(a.asks(b, a.request(b, more=[(name, method)])), 405, "method_not_allowed")
        refuse(a.asks(b, a.request(b, f"post {PATH}")), 400, "malformed_request")
        for suffix in ("?", "?x=1", "#fragment", "?#"):
            refuse(a.asks(b, a.request(b, CALL + suffix)), 400, "query_not_allowed")
    clean_request(a, b)
    with refusing_each(b, beside_the_ingress=True) as refuse:
        for method in OTHER_METHODS:
            answer = federator.asks(federator.request(f"{method} {PATH}"))
            refuse(answer, 405, "method_not_allowed")
        for name in OVERRIDES:
            answer = federator.asks(federator.request(more=[(name, "DELETE")]))
            refuse(answer, 405, "method_not_allowed", "method_override")
        for suffix in ("?", "?x=1"):
            refuse(federator.asks(federator.request(CALL + suffix)), 400, "query_not_allowed")
        refuse(federator.asks(federator.request(CALL + "#fragment")), 400, "malformed_request", "target")
    assert federator.asks().status == 200


@pytest.mark.case("PATH-005")
def test_a_body_over_the_limit_is_refused_before_it_is_stored(a: Party, b: Party) -> None:
    federator = behind(a, b)
    over = padded(MOST_REQUEST + 1)
    before = memory_of(b)
    with refusing_each(b) as refuse:
        refuse(a.asks(b, a.request(b, body=over)), 413, "body_too_large")
        refuse(a.asks(b, in_chunks(a, b, over)), 413, "body_too_large")
        # It says more than it sends, and it has no end.
        promising = [("Content-Length", str(MOST_REQUEST + 1))]
        refuse(a.asks(b, head(a, b, promising) + b"{}"), 413, "body_too_large")
        for _ in range(8):
            refuse(a.asks(b, in_chunks(a, b, padded(32 * MOST_REQUEST), ends=False)), 413, "body_too_large")
        for lying in (
            [("Content-Length", "18"), ("Transfer-Encoding", "chunked")],
            [("Content-Length", "18"), ("Content-Length", str(len(over)))],
            [("Content-Length", "-1")],
            [("Content-Length", "18, 18")],
        ):
            refuse(a.asks(b, head(a, b, lying) + over), 400, "malformed_request")
    assert refuse.passed_on == 0
    with refusing_each(b, beside_the_ingress=True) as refuse:
        refuse(federator.asks(federator.request(body=over)), 413, "body_too_large")
        chunked = [("Transfer-Encoding", "chunked")]
        data = federator.request(more=chunked, body=b"", length=False) + b"".join(chunks(over))
        refuse(federator.asks(data), 413, "body_too_large")
    for data in (a.request(b, body=padded(MOST_REQUEST)), in_chunks(a, b, padded(MOST_REQUEST))):
        assert a.asks(b, data).json["handle"] == "alice"
    grown = {name: memory - before[name] for name, memory in memory_of(b).items()}
    # Eight bodies of 8 MiB came in between.
    assert max(grown.values()) < 16 * 1024, grown


def padded(size: int) -> bytes:
    """A body of that many bytes."""
    return b'{"handle":"alice"' + b" " * (size - 18) + b"}"


def head(caller: Party, party: Party, more: list[tuple[str, str]]) -> bytes:
    """A request without a body, but for what its headers say of one."""
    lines = [CALL + " HTTP/1.1", *(f"{name}: {value}" for name, value in [*caller.headers(party), *more])]
    return "\r\n".join([*lines, "", ""]).encode()


def chunks(body: bytes, *, ends: bool = True) -> Iterator[bytes]:
    for start in range(0, len(body), 65_536):
        piece = body[start : start + 65_536]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    if ends:
        yield b"0\r\n\r\n"


def in_chunks(caller: Party, party: Party, body: bytes, *, ends: bool = True) -> bytes:
    return head(caller, party, [("Transfer-Encoding", "chunked")]) + b"".join(chunks(body, ends=ends))


def memory_of(party: Party) -> dict[str, int]:
    """KiB that each process of a backend holds in memory."""
    found = {name: resident(party.site.pid(name)) for name in ("server", "federator")}
    return found | {"nginx": sum(map(resident, party.site.nginx_workers()))}


def resident(pid: int | None) -> int:
    with Path(f"/proc/{pid}/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
