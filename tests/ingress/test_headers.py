"""What callers write in headers, and what becomes of it."""

import pytest

from isthmus.protocol.ingress import TRUST_HEADERS
from tests.ingress.client import PATH, Answer
from tests.ingress.conftest import OVERLAY, World, secret

PROVEN = (
    "Isthmus-Ingress-Leaf", "Isthmus-Ingress-Listener", "Isthmus-Ingress-Secret", "X-Sdwan-Network", "X-Forwarded-For",
)  # fmt: skip


def test_forged_trust_headers_change_nothing_and_are_named(world: World) -> None:
    clean = world.admitted(world.wan.post())
    seen = world.admitted(world.wan.post(PATH, *((name, "forged") for name in TRUST_HEADERS)))
    assert {name: seen.one(name) for name in PROVEN} == {name: clean.one(name) for name in PROVEN}
    assert (seen.one("Isthmus-Ingress-Presented") or "").split(",") == list(TRUST_HEADERS)
    assert "forged" not in [value for _, value in seen.headers]


def test_one_forged_header_is_named_alone(world: World) -> None:
    seen = world.admitted(world.wan.post(PATH, ("x-CALLING-instance", "1")))
    assert seen.one("Isthmus-Ingress-Presented") == "X-Calling-Instance"


@pytest.mark.parametrize(
    "name", ["X_Calling_Instance", "X.Sdwan.Network", "Isthmus_Origin_Domain", "Isthmus.Ingress.Leaf"]
)
def test_aliases_of_headers_reach_nobody(world: World, name: str) -> None:
    seen = world.admitted(world.wan.post(PATH, (name, "alias")))
    assert "alias" not in [value for _, value in seen.headers]
    assert seen.one("Isthmus-Origin-Domain") is None


@pytest.mark.parametrize(
    "name", ["Isthmus-Origin-Domain", "Idempotency-Key", "Authorization", "Content-Type", "Signature"]
)
@pytest.mark.parametrize("second", ["first", "second"])
def test_a_doubled_header_is_refused_or_counts_by_its_first_value(world: World, name: str, second: str) -> None:
    answer = world.wan.post(PATH, (name, "first"), (name, second))
    if answer.status == 400:
        world.refused(answer, "malformed_request", 400)
    else:
        # A later nginx joins them, which no grammar of a single value takes.
        assert world.admitted(answer).one(name) in ("first", f"first, {second}")


@pytest.mark.parametrize(
    "listed", ["X-Sdwan-Network, X-Calling-Instance, Authorization", "Isthmus-Ingress-Leaf, close"]
)
def test_hop_by_hop_rules_remove_no_fact(world: World, listed: str) -> None:
    clean = world.admitted(world.overlay.post(PATH, ("Authorization", "token")))
    seen = world.admitted(world.overlay.post(PATH, ("Authorization", "token"), ("Connection", listed)))
    names = (*PROVEN, "Authorization")
    assert {name: seen.one(name) for name in names} == {name: clean.one(name) for name in names}
    assert (seen.one("X-Sdwan-Network"), seen.one("Isthmus-Ingress-Secret")) == (OVERLAY, secret("overlay-1"))
    assert seen.one("Connection") is None


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b"])
@pytest.mark.parametrize("name", ["Isthmus-Origin-Domain", "Authorization", "X-Request-Id"])
def test_control_bytes_in_values_are_malformed(world: World, name: str, value: str) -> None:
    answer = world.wan.post(PATH, (name, value))
    if answer.status == 200:
        # A lone line feed ends a line, as RFC 9112 lets a recipient see it: what follows is no header.
        assert "\n" in value
        assert world.admitted(answer).one(name) in ("a", None)
    else:
        row = world.refused(answer, "malformed_request", 400)
        assert all(map(str.isprintable, (row.path, row.host, row.method, row.verify)))


@pytest.mark.parametrize("host", ["ui.b.example", "infra2.b.example", "", "infra.b.example.evil.example", "127.0.0.1"])
def test_a_host_that_is_not_the_name_of_the_session_is_misdirected(world: World, host: str) -> None:
    from tests.ingress.client import request

    answer: Answer = world.wan.send(request(host=host))
    assert answer.status in (400, 421)
    world.refused(answer, "misdirected_request" if answer.status == 421 else "malformed_request", answer.status)


def test_hostile_text_in_a_refusal_stays_one_bounded_record(world: World) -> None:
    path = '/","code":"forged","x":"' + "\u00ff\u00fe" * 200
    row = world.refused(world.wan.post(path), "route_not_found", 404)
    assert row.path.startswith('/","code":"forged"')
    assert len(row.path) <= 256
