"""Connections are kept as long as all that they rest on stays the same, and not a call longer."""

import asyncio
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.names_server import answers
from lab.waiting import wait_until
from tests.federator.abroad import Ingress, a_problem, a_real_authority, a_server_leaf, an_answer
from tests.federator.home import Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio


async def test_a_new_pair_is_shown_from_the_next_call_on(home: Home, b: Ingress) -> None:
    await home.call()
    first = home.leaf
    home.renew()
    for _ in range(3):
        assert (await home.call()).status == 200
    assert first is not None
    assert home.leaf is not None
    assert b.shown == [first.der, home.leaf.der]


CHANGES: dict[str, Callable[[Ingress], dict[str, Any]]] = {
    "pins": lambda b: {"infra_domains": ["infra.b.example", "infra2.b.example"]},
    "generation": lambda b: {"generation": 2},
    "revoked leaves": lambda b: {"revoked_serials": ["1234"]},
}


@pytest.mark.parametrize("which", CHANGES)
async def test_whatever_trust_rests_on_makes_new_connections(
    home: Home, b: Ingress, b_authority: Forged, which: str
) -> None:
    await home.call()
    home.know(an_entry(b_authority, **CHANGES[which](b)), ports=[b.port])
    assert (await home.call()).status == 200
    assert b.handshakes == 2


async def test_a_snapshot_that_changes_nothing_of_a_remote_leaves_its_connections(
    home: Home, b: Ingress, b_authority: Forged
) -> None:
    await home.call()
    home.know(an_entry(b_authority), an_entry(None, "c.example"), ports=[b.port])
    assert (await home.call()).status == 200
    assert b.handshakes == 1


async def test_anchors_that_are_gone_end_the_connections_that_rested_on_them(
    home: Home, b: Ingress, b_authority: Forged
) -> None:
    await home.call()
    home.know(an_entry(a_real_authority("B's next CA")), ports=[b.port])
    assert (await home.call()).code == "remote_tls_failed"
    home.know(an_entry(b_authority), ports=[b.port])
    assert (await home.call()).status == 200


@pytest.mark.parametrize("state", ["suspended", "revoked", None])
async def test_a_remote_that_is_cut_off_loses_its_connections_at_once(
    home: Home, b: Ingress, b_authority: Forged, state: str | None
) -> None:
    await home.call()
    b.silent = True
    running = asyncio.create_task(home.call())
    await asyncio.to_thread(wait_until, lambda: len(b.calls) == 2, within=5, what="the call to be under way")
    home.know(*([an_entry(b_authority, state=state)] if state else []), ports=[b.port])
    answer = await asyncio.wait_for(running, 2)
    assert (answer.status, answer.code) == (403, "target_denied")
    await home.one_row("remote_cut")
    await asyncio.to_thread(wait_until, lambda: not b._writers, within=5, what="the connections to end")
    assert (await home.call()).code == "target_denied"


async def test_a_call_under_way_ends_undisturbed_when_our_pair_is_renewed(home: Home, b: Ingress) -> None:
    await home.call()
    held = asyncio.Event()

    async def answer_later() -> None:
        await held.wait()
        for writer in list(b._writers):
            writer.write(an_answer(200, b'"late"'))

    b.silent = True
    running = asyncio.create_task(home.call())
    later = asyncio.create_task(answer_later())
    await asyncio.to_thread(wait_until, lambda: len(b.calls) == 2, within=5, what="the call to be under way")
    home.renew()
    held.set()
    assert (await running).body == b'"late"'
    await later


def _has_shown(b: Ingress, count: int) -> bool:
    return len(set(b.shown)) >= count


async def test_rotating_all_the_time_loses_no_call(home: Home, b: Ingress) -> None:
    stop = asyncio.Event()

    async def load() -> set[int]:
        found = set()
        while not stop.is_set():
            found.add((await home.call()).status)
        return found

    callers = [asyncio.create_task(load()) for _ in range(4)]
    for count in range(1, 11):
        home.renew()
        await asyncio.to_thread(wait_until, partial(_has_shown, b, count), within=20, what="the new pair")
    stop.set()
    assert set().union(*await asyncio.gather(*callers)) == {200}
    assert len(set(b.shown)) >= 10


@pytest.mark.case("SEED-024")
async def test_the_response_goes_back_to_the_component_that_asked(home: Home, b: Ingress) -> None:
    def answer(asked: Any) -> bytes:
        if b"alice" in asked.body:
            return an_answer(200, b'{ "handle":"alice"}', "application/json; charset=utf-8")
        return a_problem(404, "not_found", request_id="r-2")

    b.answer = answer
    alice = [home.call(body=b'{"handle":"alice"}') for _ in range(8)]
    nobody = [home.call(body=b'{"handle":"nobody"}') for _ in range(8)]
    found = await asyncio.gather(*(call for pair in zip(alice, nobody, strict=True) for call in pair))
    for good in found[::2]:
        assert (good.status, good.body) == (200, b'{ "handle":"alice"}')
        assert good.headers["Content-Type"] == "application/json; charset=utf-8"
    for bad in found[1::2]:
        assert (bad.status, bad.code) == (502, "remote_error")
        assert bad.problem["remote"] == {"status": 404, "code": "not_found", "request_id": "r-2"}


@pytest.mark.parametrize("usage", [2, 3])
@pytest.mark.parametrize("good", [True, False])
async def test_an_entry_may_ask_for_tlsa(home: Home, b: Ingress, b_authority: Forged, usage: int, good: bool) -> None:
    certificate = (b_authority if usage == 2 else b.leaf).certificate
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = sha256(key if good else b"another").hexdigest()
    question = f"_{b.port}._tcp.infra.b.example TLSA"
    home.names.say(question, *answers(f"60 TLSA {usage} 1 1 {digest}", authenticated=True))
    home.know(an_entry(b_authority, needs_tlsa=True), ports=[b.port])
    answer = await home.call()
    if good:
        assert answer.status == 200
        return
    assert answer.code == "remote_identity_mismatch"
    assert b.received == 0
    await home.one_row("identity.tlsa")


async def test_tlsa_that_nobody_vouches_for_does_not_count(home: Home, b: Ingress, b_authority: Forged) -> None:
    home.know(an_entry(b_authority, needs_tlsa=True), ports=[b.port])
    assert (await home.call()).code == "target_denied"
    await home.one_row("discovery.no_tlsa")


@pytest.mark.case("SEED-033")
async def test_target_and_port_of_the_answer_decide_the_connection(home: Home, b_authority: Forged) -> None:
    leaf = a_server_leaf(b_authority, names=("infra.b.example", "infra1.b.example"))
    pins = ["infra.b.example", "infra1.b.example"]
    async with Ingress(leaf, home.authority, "127.0.0.41", 8443).running() as ingress:
        home.know(an_entry(b_authority, infra_domains=pins))
        home.names.say("_isthmus-federator._tcp.b.example SRV", *answers("60 SRV 0 0 8443 infra.b.example."))
        home.names.say("infra.b.example A", *answers("60 A 127.0.0.41"))
        assert (await home.call()).status == 200
        assert ingress.calls[0].one("Host") == "infra.b.example:8443"
        both = ["60 SRV 1 0 8443 infra1.b.example.", "60 SRV 0 0 443 infra.b.example."]
        home.names.say("_isthmus-federator._tcp.b.example SRV", *answers(*both))
        home.names.say("infra1.b.example A", *answers("60 A 127.0.0.41"))
        home.outward.lookups.forget()
        assert (await home.call()).status == 200
        assert ingress.calls[1].one("Host") == "infra1.b.example:8443"
        assert ingress.names == ["infra.b.example", "infra1.b.example"]
