"""Calls go over an effective bridge where there is one, and outside where nobody answers there."""

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from isthmus.protocol.federator import Bridged
from tests.federator.abroad import Ingress, a_problem, a_real_authority, a_server_leaf, an_answer
from tests.federator.home import Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

OFFICE = "8d7c1a52-7f65-4d43-9c1c-0b7f7f4f2c11"
VIP, OURS, PREFIX = "127.9.0.2", "127.9.1.1", "127.9.0.0/24"


def over(inside: Ingress, **fields: Any) -> Bridged:
    plain = {"network": OFFICE, "prefixes": [PREFIX], "vip": VIP, "port": inside.port, "sources": [OURS]}
    return Bridged(**{**plain, **fields})


def know(home: Home, authority: Forged, outside: Ingress, *bridges: Bridged, **fields: Any) -> None:
    overlays = [PREFIX, "127.9.1.0/24"]
    home.know(an_entry(authority, bridges=list(bridges)), ports=[outside.port], overlays=overlays, **fields)


@pytest.fixture
async def inside(home: Home, b: Ingress, b_authority: Forged) -> AsyncIterator[Ingress]:
    """B's ingress inside the network, which is bridged."""
    async with Ingress(a_server_leaf(b_authority), home.authority, VIP).running() as ingress:
        know(home, b_authority, b, over(ingress))
        yield ingress


async def test_a_call_goes_over_the_bridge_under_the_name_that_the_certificate_proves(
    home: Home, b: Ingress, inside: Ingress
) -> None:
    assert (await home.call()).status == 200
    assert (len(inside.calls), b.connections) == (1, 0)
    assert inside.names == ["infra.b.example"]
    assert (await home.call()).status == 200
    assert inside.handshakes == 1


async def test_a_bridge_that_ends_closes_what_was_opened_over_it(
    home: Home, b: Ingress, inside: Ingress, b_authority: Forged
) -> None:
    assert (await home.call()).status == 200
    assert (inside.handshakes, b.handshakes) == (1, 0)
    know(home, b_authority, b)
    assert (await home.call()).status == 200
    assert (len(inside.calls), b.handshakes) == (1, 1)
    know(home, b_authority, b, over(inside))
    assert (await home.call()).status == 200
    assert (len(inside.calls), inside.handshakes) == (2, 2)
    # What was opened outside is still there for the next time.
    know(home, b_authority, b)
    assert (await home.call()).status == 200
    assert b.handshakes == 1


@pytest.mark.parametrize("which", ["nobody listens", "nobody answers", "another remote", "no source"])
async def test_where_nobody_answers_inside_calls_go_outside_and_it_is_remembered(
    home: Home, b: Ingress, inside: Ingress, b_authority: Forged, which: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        bridge = over(inside, vip="127.9.0.3")
        if which == "nobody answers":
            # It is connected to by the system, and nobody takes it from there.
            mute = stack.enter_context(socket.create_server((VIP, 0)))
            bridge = over(inside, port=mute.getsockname()[1])
        elif which == "another remote":
            leaf = a_server_leaf(a_real_authority("C's CA"))
            other = await stack.enter_async_context(Ingress(leaf, home.authority, "127.9.0.4").running())
            bridge = over(other, vip="127.9.0.4")
        elif which == "no source":
            bridge = over(inside, sources=["198.51.100.77"])
        know(home, b_authority, b, bridge)
        for _ in range(2):
            assert (await home.call()).status == 200
    assert len(b.calls) == 2
    assert inside.calls == []


async def test_a_vip_that_no_prefix_holds_is_not_dialled(
    home: Home, b: Ingress, inside: Ingress, b_authority: Forged
) -> None:
    know(home, b_authority, b, over(inside, prefixes=["127.9.0.64/26"]))
    assert (await home.call()).status == 200
    assert (inside.connections, len(b.calls)) == (0, 1)


async def test_an_address_inside_an_overlay_is_dialled_for_the_bridged_remote_alone(
    home: Home, b: Ingress, inside: Ingress, b_authority: Forged
) -> None:
    """Although loopback is open to remotes here: the name of B leads into the overlay."""
    async with Ingress(a_server_leaf(b_authority), home.authority, "127.9.0.5", b.port).running() as astray:
        home.publish("b.example", astray)
        know(home, b_authority, b)
        answer = await home.call()
        assert (answer.status, answer.code) == (403, "target_address_forbidden")
        assert astray.connections == 0
        know(home, b_authority, b, over(inside, vip="", port=0))
        assert (await home.call()).status == 200
        assert len(astray.calls) == 1


@pytest.mark.parametrize("code", ["bridge_not_active", "incident_block"])
async def test_how_a_bridge_stands_is_told_outside_where_it_is_shut(
    home: Home, b: Ingress, inside: Ingress, code: str
) -> None:
    inside.answer = lambda asked: a_problem(403, code)
    answer = await home.call()
    assert (answer.status, b.calls) == (502, [])
    assert code.encode() in answer.body
    b.answer = lambda asked: an_answer(200, b'{"ok":true}')
    assert (await home.call("/rpc/b.example/heartbeat/call-back", b"{}")).status == 200
    assert [asked.path for asked in b.calls] == ["/federation/heartbeat/call-back"]


async def test_the_doctor_shows_the_way_over_the_bridge(
    home: Home, b: Ingress, inside: Ingress, b_authority: Forged
) -> None:
    async def overlay() -> tuple[bool, str, str]:
        findings = (await home.call("/doctor/b.example")).problem["findings"]
        (found,) = [each for each in findings if each["step"] == "overlay"]
        return found["ok"], found.get("observed", ""), found.get("mend", "")

    is_good, observed, _ = await overlay()
    assert is_good
    assert VIP in observed
    assert OFFICE in observed
    for bridge, says in (
        (over(inside, vip="127.9.0.3"), "bridge status"),
        (over(inside, vip="", port=0), "isthmus network ingress"),
        (over(inside, prefixes=["127.9.0.64/26"]), "accept a prefix"),
    ):
        know(home, b_authority, b, bridge)
        is_good, _, mend = await overlay()
        assert not is_good
        assert says in mend
