"""Which request lines are calls: one shape, on raw bytes."""

import pytest

from tests.ingress.client import INFRA, PATH, request
from tests.ingress.conftest import World

LIMIT = 256 * 1024
NO_ROUTES = (
    "/", "/federation", "/federation/", "/federation/directory", "/federation/directory/", "/federation/directory/x/",
    "/federation/directory/x/y", "//federation/directory/x", "/federation//directory/x", "/federation/directory//x",
    "/federation/./directory/x", "/federation/../federation/directory/x", "/admin/../federation/directory/x",
    "/federation/%64irectory/get-user-by-handle", "/federation/directory/%2e%2e", "/federation/directory%2fx",
    "/federation/directory/x%5cy", "/federation/directory/x%252fy", "/federation/directory/x%c0%af",
    "/federation/directory\\\\x/y", "/FEDERATION/directory/x", "/federation/Directory/x", "/federation/1a/x",
    f"/federation/{'a' * 64}/x", "https://infra.b.example/federation/directory/get-user-by-handle", "/-/internal/500",
    "/status", "/federation/directory/x;y", "/health", "/metrics",
)  # fmt: skip
UNREADABLE = (
    "", "*", "federation/directory/x", "/federation/directory/%00", "/federation/directory/%zz", "/../federation/a/b",
    "/federation/directory/x y",
)  # fmt: skip
OTHER_METHODS = ("GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PROPFIND")


@pytest.mark.parametrize("path", NO_ROUTES)
def test_whatever_is_not_the_exact_three_segment_path_is_no_route(world: World, path: str) -> None:
    row = world.refused(world.wan.post(path), "route_not_found", 404)
    assert row.method == "POST"
    world.admitted(world.wan.post())


@pytest.mark.parametrize("path", UNREADABLE)
def test_a_request_line_that_cannot_be_read_is_told_as_a_problem_too(world: World, path: str) -> None:
    row = world.refused(world.wan.post(path), "malformed_request", 400)
    assert row.path == f"POST {path} HTTP/1.1"
    world.admitted(world.wan.post())


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_calls_are_made_with_post(world: World, method: str) -> None:
    answer = world.wan.post(PATH, ("X-HTTP-Method-Override", "POST"), method=method)
    assert world.refused(answer, "method_not_allowed", 405).method == method
    assert answer.all("Allow") == ["POST"]


def test_a_method_in_lower_case_is_none(world: World) -> None:
    assert world.refused(world.wan.post(method="post"), "malformed_request", 400).method == "post"


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"])
def test_who_asks_for_another_method_is_refused(world: World, name: str) -> None:
    for method in ("DELETE", "POST"):
        answer = world.wan.post(PATH, (name, method))
        assert world.refused(answer, "method_not_allowed", 405).method == "POST"
    world.admitted(world.wan.post())


@pytest.mark.parametrize("suffix", ["?", "?x=1", "#fragment", "?x=%00"])
def test_a_call_has_no_query(world: World, suffix: str) -> None:
    world.refused(world.wan.post(PATH + suffix), "query_not_allowed", 400)


@pytest.mark.parametrize("line", ["POST {} HTTP/1.0", "POST {} HTTP/2.0", "POST {} HTTP/1.2", "PRI * HTTP/2.0"])
def test_only_http_1_1_is_spoken(world: World, line: str) -> None:
    raw = f"{line.format(PATH)}\r\nHost: {INFRA}\r\nContent-Length: 0\r\n\r\n".encode()
    answer = world.wan.send(raw)
    assert answer.status in (400, 404)
    world.refused(answer, answer.code, answer.status)


def test_a_line_without_a_version_is_malformed(world: World) -> None:
    with world.wan.connected() as connection:
        connection.sendall(f"POST {PATH}\r\n\r\n".encode())
        assert b"malformed_request" in connection.makefile("rb").read()
    assert world.upstream.seen == []


def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not(world: World) -> None:
    assert len(world.admitted(world.wan.post(body=b"x" * LIMIT)).body) == LIMIT
    world.refused(world.wan.post(body=b"x" * (LIMIT + 1)), "body_too_large", 413)


def test_a_body_in_chunks_has_the_same_limit(world: World) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: {INFRA}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()

    def chunked(size: int) -> bytes:
        return head + f"{size:x}\r\n".encode() + b"x" * size + b"\r\n0\r\n\r\n"

    seen = world.admitted(world.wan.send(chunked(LIMIT)))
    assert (len(seen.body), seen.one("Content-Length"), seen.one("Transfer-Encoding")) == (LIMIT, str(LIMIT), None)
    world.refused(world.wan.send(chunked(LIMIT + 1)), "body_too_large", 413)


@pytest.mark.parametrize(
    "lengths",
    ["Content-Length: 2\r\nContent-Length: 3", "Content-Length: 2\r\nTransfer-Encoding: chunked", "Content-Length: x"],
)
def test_two_lengths_of_one_body_are_malformed(world: World, lengths: str) -> None:
    raw = f"POST {PATH} HTTP/1.1\r\nHost: {INFRA}\r\n{lengths}\r\n\r\n{{}}x".encode()
    world.refused(world.wan.send(raw), "malformed_request", 400)


def test_what_follows_a_length_that_lies_is_a_request_of_its_own_and_a_bad_one(world: World) -> None:
    raw = request(body=b"{}") + b'"smuggled":true}'
    with world.wan.connected() as connection:
        connection.sendall(raw)
        stream = connection.makefile("rb").read()
    assert [seen.body for seen in world.upstream.seen] == [b"{}"]
    assert stream.count(b"HTTP/1.1 4") == 1
    assert stream.count(b"malformed_request") > 0


def test_a_request_line_or_a_header_that_is_too_long_is_refused(world: World) -> None:
    world.refused(world.wan.post("/" + "a" * 9000), "headers_too_large", 431)
    world.refused(world.wan.post(PATH, ("X-Long", "a" * 9000)), "headers_too_large", 431)
    world.refused(world.wan.post(PATH, *((f"X-{n}", "a" * 900) for n in range(30))), "headers_too_large", 431)
