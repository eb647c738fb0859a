"""What a request must look like before anybody asks whose it is: paths, methods, headers, bodies, the leaf."""

import socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.protocol import federation as wire
from isthmus.protocol import ingress
from isthmus.protocol.federation import RPCS
from tests.federator.organisations import escaped
from tests.federator.stage import BODY, LOOKUP, Answer, Stage, exchange, unchanged
from tests.x509.forge import a_p256_key

BAD_PATHS = [
    "/", "//", "/federation", "/federation/", "/federation/directory", "/federation/directory/",
    "/federation//directory",
    "//federation/directory/get-user-by-handle", "/federation/directory//get-user-by-handle",
    "/federation/directory/get-user-by-handle/", "/federation/directory/get-user-by-handle/more",
    "/federation/./directory/get-user-by-handle", "/federation/../federation/directory/get-user-by-handle",
    "/federation/x/../directory/get-user-by-handle", "http://b.example/federation/directory/get-user-by-handle",
    "/federation/directory/get-user-by-handle%2f", "/federation/directory%2fget-user-by-handle",
    "/federation/%2e%2e/federation/directory/get-user-by-handle", "/federation/directory%5cget-user-by-handle",
    "/federation/directory\\get-user-by-handle", "/federation/directory/get-user-by-handle%00",
    "/federation/directory%252fget-user-by-handle", "/federation/directory/get-user-by-handle%c0%af",
    "/federation/directory/get-user-by-handle;x", "/Federation/directory/get-user-by-handle",
    "/federation/Directory/get-user-by-handle", "/federation/directory/get_user_by_handle", "*",
    "/federation/%64irectory/get-user-by-handle", "/admin/../federation/directory/get-user-by-handle",
]  # fmt: skip


def refused(stage: Stage, answer: Answer, status: int, *codes: str) -> None:
    """One refusal as it must be, and the one row of it."""
    assert answer.status == status
    assert answer.code in codes
    row = stage.row(answer)
    assert (row.outcome, row.actor, row.action) == ("denied", "anyone", "federation.call")
    assert row.facts["code"] == answer.code


def twin(stage: Stage) -> None:
    """The clean call, which gets through."""
    before = len(stage.calls)
    assert stage.ask(stage.a).status == 200
    assert len(stage.calls) == before + 1


@pytest.mark.parametrize("path", BAD_PATHS)
def test_only_the_exact_path_of_three_segments_is_a_route(stage: Stage, path: str) -> None:
    with unchanged(stage):
        answer = stage.ask(stage.a, path)
    assert answer.status in (400, 404)
    refused(stage, answer, answer.status, "route_not_found" if answer.status == 404 else "malformed_request")


@pytest.mark.parametrize(
    "path", ["/federation/%64irectory/get-user-by-handle", "/admin/../federation/directory/get-user-by-handle"]
)
def test_what_decodes_or_collapses_to_a_route_is_none(stage: Stage, path: str) -> None:
    with unchanged(stage):
        refused(stage, stage.ask(stage.a, path), 404, "route_not_found")
    twin(stage)


@pytest.mark.parametrize(
    "raw", [b"/federation/directory/\xc0\xaf", b"/federation/directory/\x00", b"/federation/directory/\xff"]
)
def test_bytes_that_no_path_may_hold_are_refused(stage: Stage, raw: bytes) -> None:
    before = stage.settled()
    lines = [b"POST " + raw + b" HTTP/1.1", b"Host: x", b"Content-Length: 0"]
    lines += [f"{name}: {value}".encode() for name, value in stage.headers(stage.a).items()]
    with unchanged(stage):
        answer = stage.raw(b"\r\n".join([*lines, b"", b""]))
    assert answer.split()[1] in (b"400", b"404")
    assert b"malformed_request" in answer or b"route_not_found" in answer
    assert len(stage.settled()) == len(before) + 1


INNER = ["health", "live", "metrics", "ready", "admin", "snapshot", "report", "accept", "openapi", "get-user-by-id"]


def test_internal_and_unknown_routes_look_alike(stage: Stage) -> None:
    paths = [f"/federation/directory/{name}" for name in INNER]
    paths += [f"/federation/{name}/get-user-by-handle" for name in ("control", "admin", "resources", "server")]
    answers = [stage.ask(stage.a, path) for path in [*paths, "/metrics", "/health/ready", "/api/v1/networks"]]
    for answer in answers:
        assert answer.status == 404
        assert answer.code == "route_not_found"
        stage.row(answer)
    assert len({without_ids(answer) for answer in answers}) == 1
    assert not stage.calls
    twin(stage)


def test_an_rpc_of_another_version_is_an_unknown_one(stage: Stage) -> None:
    # The backend speaks version 1 as well, and no call of today is part of it.
    stage.relist(stage.a.entry(), versions=[0, 1])
    assert all(1 not in rpc.versions for rpc in RPCS.values())
    unknown = stage.ask(stage.a, "/federation/directory/nothing", **{wire.API_VERSION: "1"})
    known = stage.ask(stage.a, LOOKUP, **{wire.API_VERSION: "1"})
    assert known.status == 404
    assert without_ids(known) == without_ids(unknown)
    refused_row = stage.row(known)
    assert refused_row.reason == "route.unknown"
    twin(stage)


def without_ids(answer: Answer) -> str:
    return answer.body.decode().replace(answer.request_id, "")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "HEAD", "post"])
def test_calls_are_made_by_post_alone(stage: Stage, method: str) -> None:
    before = stage.settled()
    with unchanged(stage):
        answer = stage.call(stage.headers(stage.a), method=method)
    assert answer.status == 405
    if method != "HEAD":
        assert answer.code == "method_not_allowed"
    assert len(stage.settled()) == len(before) + 1


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "x_http_method"])
def test_a_method_cannot_be_overridden(stage: Stage, name: str) -> None:
    with unchanged(stage):
        refused(stage, stage.call({**stage.headers(stage.a), name: "GET"}), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("tail", "code"), [("?", "query_not_allowed"), ("?x=1", "query_not_allowed"), ("#part", "malformed_request")]
)
def test_a_call_has_no_query_and_no_fragment(stage: Stage, tail: str, code: str) -> None:
    with unchanged(stage):
        refused(stage, stage.ask(stage.a, LOOKUP + tail), 400, code)
    twin(stage)


def test_what_is_no_http_is_refused_in_the_same_form(stage: Stage) -> None:
    before = stage.settled()
    answer = stage.raw(b"\x16\x03\x01 this is TLS, not HTTP\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"application/problem+json" in answer
    assert len(stage.settled()) == len(before) + 1


# Headers.

SINGLE = [
    wire.ORIGIN,
    wire.API_VERSION,
    wire.IDEMPOTENCY_KEY,
    wire.AUTHORIZATION,
    wire.SIGNATURE,
    ingress.LEAF,
    ingress.SOURCE,
]


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("same", [True, False])
def test_a_header_that_comes_twice_is_refused(stage: Stage, name: str, same: bool) -> None:
    headers = stage.headers(stage.a)
    value = headers.setdefault(name, "value")
    with unchanged(stage):
        answer = doubled(stage, headers, name, value if same else "other")
    refused(stage, answer, 400, "header_duplicated")


@pytest.mark.parametrize("name", [ingress.LISTENER, ingress.SECRET])
def test_the_ingress_names_its_listener_once(stage: Stage, name: str) -> None:
    headers = stage.headers(stage.a)
    with unchanged(stage):
        refused(stage, doubled(stage, headers, name, headers[name]), 403, "ingress_untrusted")


def doubled(stage: Stage, headers: dict[str, str], name: str, value: str) -> Answer:
    with stage.connection() as connection:
        connection.putrequest("POST", LOOKUP, skip_host=True, skip_accept_encoding=True)
        for each, text in {"Host": "x", "Content-Length": str(len(BODY)), **headers}.items():
            connection.putheader(each, text)
        connection.putheader(name.lower(), value)
        connection.endheaders(BODY)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())


ALIASES = [
    "X-Calling-Instance", "x_calling_instance", "X.Calling.Instance", "X_Sdwan_Network", "x.sdwan.network",
    "X_Forwarded_For", "x-forwarded_for", "X-SSL-Certificate", "X_SSL_CERTIFICATE", "Client-Cert", "client_cert",
    "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Client-Cert", "x.forwarded.client.cert", "X-Real-IP", "Forwarded",
    "Isthmus-Context", "isthmus_context", "Isthmus_Ingress_Leaf", "ISTHMUS.INGRESS.SECRET", "Isthmus-Ingress-Unknown",
    "Isthmus_Origin_Domain", "isthmus.origin.domain", "Idempotency_Key",
]  # fmt: skip


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_of_a_trust_header_is_a_conflict(stage: Stage, name: str) -> None:
    with unchanged(stage):
        refused(stage, stage.call({**stage.headers(stage.a), name: "value"}), 400, "trust_header_conflict")
    twin(stage)


@pytest.mark.parametrize("name", [wire.ORIGIN, wire.AUTHORIZATION, ingress.CALLER_REQUEST_ID])
@pytest.mark.parametrize(
    "value",
    [b"a\tb", b"a\t\t\tb", b"a.\xc3\xa4b", b"\xff", b"a\x01b", b"a\x7fb", b"a\rb", b"a\nb", b"a\r\nb", b"a\x00b"],
)
@pytest.mark.case("HDR-011")
def test_control_bytes_in_header_values_are_refused_and_never_logged_raw(stage: Stage, name: str, value: bytes) -> None:
    before = stage.settled()
    headers = {each: text for each, text in stage.headers(stage.a).items() if each != name}
    lines = [b"POST " + LOOKUP.encode() + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(BODY)]
    lines += [f"{each}: {text}".encode() for each, text in headers.items()] + [name.encode() + b": " + value]
    with unchanged(stage):
        answer = stage.raw(b"\r\n".join([*lines, b"", BODY]))
    assert answer.split()[1] == b"400"
    assert b"malformed_request" in answer or b"origin_invalid" in answer
    after = stage.settled()
    (new,) = set(after) - set(before)
    told = repr(after[new]).encode()
    assert value not in stage.federator.log_file.read_bytes()
    assert value not in told
    twin(stage)


# The origin.


NO_ORIGINS = [
    None, "", "a.example, c.example", "a.example,a.example", "https://a.example", "a.example/", "192.0.2.1",
    "[2001:db8::1]", "A.example", "a.example.", "a", "-a.example", "a..example", "a.example:443",
    "x" * 250 + ".example",
]  # fmt: skip


@pytest.mark.case("ADM-005")
@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_the_origin_is_one_backend_domain(stage: Stage, origin: str | None) -> None:
    asked = len(stage.around.names.questions)
    with unchanged(stage):
        refused(stage, stage.ask(stage.a, Isthmus_Origin_Domain=origin), 400, "origin_invalid")
    assert len(stage.around.names.questions) == asked
    twin(stage)


# The certificate that the ingress hands on.


@pytest.mark.case("HDR-007")
def test_a_request_without_a_certificate_is_told_so(stage: Stage) -> None:
    for leaf in (None, ""):
        with unchanged(stage):
            refused(stage, stage.ask(stage.a, Isthmus_Ingress_Leaf=leaf), 401, "client_certificate_required")
    twin(stage)


def a_request_for_a_certificate() -> bytes:
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(a_p256_key(), SHA256())
    return built.public_bytes(Encoding.PEM)


@pytest.mark.case("HDR-007")
def test_the_ingress_hands_on_exactly_one_readable_leaf(stage: Stage) -> None:
    leaf = stage.a.leaf
    bad = {
        "rubbish": "rubbish",
        "escapes": "%zz%00",
        "cut": escaped(leaf)[:300],
        "request": escaped(a_request_for_a_certificate()),
        "two": escaped(leaf, leaf),
        "two others": escaped(leaf, stage.c.leaf),
        "key": escaped(leaf.key_pem),
        "more": escaped(leaf.pem + b"more"),
        "no base64": escaped(b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
        "no DER": escaped(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    }
    asked = len(stage.around.names.questions)
    for value in bad.values():
        with unchanged(stage):
            refused(stage, stage.ask(stage.a, Isthmus_Ingress_Leaf=value), 400, "malformed_request")
    assert len(stage.around.names.questions) == asked
    twin(stage)


# Bodies.


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
def test_a_content_encoding_is_refused_and_nothing_is_inflated(stage: Stage, coding: str) -> None:
    headers = {**stage.headers(stage.a), "Content-Encoding": coding}
    with unchanged(stage):
        answer = stage.call(headers, body=b"\x1f\x8b\x08\x00rubbish")
    assert (answer.status, answer.code) == (415, "content_encoding_not_allowed")
    assert stage.row(answer).actor == f"remote:a.example/{stage.a.instance}"
    twin(stage)


TYPES = [
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/json; charset=utf-16",
    "",
    "application/jsonx",
]


@pytest.mark.parametrize("kind", TYPES)
def test_only_plain_json_is_taken(stage: Stage, kind: str) -> None:
    with unchanged(stage):
        answer = stage.call({**stage.headers(stage.a), "Content-Type": kind})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert stage.row(answer).actor == f"remote:a.example/{stage.a.instance}"
    for good in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
        assert stage.call({**stage.headers(stage.a), "Content-Type": good}).status == 200


def test_a_body_over_the_bound_is_refused_however_its_length_is_told(stage: Stage) -> None:
    body = b"x" * (wire.MOST_REQUEST + 1)
    with unchanged(stage):
        refused_too_large(stage, stage.call(stage.headers(stage.a), body=body))
        refused_too_large(stage, chunked(stage, body))
    assert stage.call(stage.headers(stage.a), body=body[:-1]).status == 200
    assert len(stage.calls[-1].body) == wire.MOST_REQUEST


def refused_too_large(stage: Stage, answer: Answer) -> None:
    assert (answer.status, answer.code) == (413, "body_too_large")
    stage.row(answer)


def chunked(stage: Stage, body: bytes) -> Answer:
    with stage.connection() as connection:
        connection.putrequest("POST", LOOKUP, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": "x", "Transfer-Encoding": "chunked", **stage.headers(stage.a)}.items():
            connection.putheader(name, value)
        connection.endheaders((body[at : at + 65536] for at in range(0, len(body), 65536)), encode_chunked=True)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())


def test_a_body_that_ends_early_is_no_call(stage: Stage) -> None:
    before = stage.settled()
    lines = [b"POST " + LOOKUP.encode() + b" HTTP/1.1", b"Host: x", b"Content-Length: 1000"]
    lines += [f"{name}: {value}".encode() for name, value in stage.headers(stage.a).items()]
    with unchanged(stage), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(stage.places.inward))
        sock.sendall(b"\r\n".join([*lines, b"", BODY]))
        sock.shutdown(socket.SHUT_WR)
        sock.recv(4096)
    assert len(stage.settled()) <= len(before) + 1


# Request ids.


def test_request_ids_are_ours_and_the_callers_stands_beside_them(stage: Stage) -> None:
    long = "x" * 4096
    given = (long, "other-request", "other-request")
    refused = [stage.ask(stage.a, Isthmus_Caller_Request_Id=each, Isthmus_Api_Version="99") for each in given]
    answers = [stage.ask(stage.a, Isthmus_Caller_Request_Id=each) for each in given]
    assert len({answer.request_id for answer in (*answers, *refused)}) == 6
    for answer, no, theirs in zip(answers, refused, given, strict=True):
        assert (answer.status, no.status) == (200, 400)
        assert stage.row(no).facts["caller_request_id"] == theirs[:200]
        assert answer.request_id in stage.federator.log
        assert stage.calls[-1].headers["x-request-id"] == answers[-1].request_id
    assert {call.context.request_id for call in stage.calls} == {answer.request_id for answer in answers}
    assert long not in stage.federator.log


def test_many_requests_share_a_connection(stage: Stage) -> None:
    with stage.connection() as connection:
        answers = [exchange(connection, stage.headers(stage.a), LOOKUP, BODY, "POST") for _ in range(5)]
        refusal = exchange(connection, stage.headers(stage.a), "/nothing", BODY, "POST")
        last = exchange(connection, stage.headers(stage.a), LOOKUP, BODY, "POST")
    assert [answer.status for answer in [*answers, refusal, last]] == [200] * 5 + [404, 200]
