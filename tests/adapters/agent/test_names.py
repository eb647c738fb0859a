"""The name server on real sockets: what it answers, whom, and what it makes of packets that are none."""

import asyncio
import random
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.agent.adapters import tools
from isthmus.agent.adapters.names import packets
from isthmus.agent.adapters.names.cache import Cache, lifetime
from isthmus.agent.adapters.names.limits import Places, Rates
from isthmus.agent.adapters.names.listeners import Listeners
from isthmus.agent.adapters.names.responder import FORWARDED_EACH
from isthmus.agent.adapters.names.service import NameService
from isthmus.agent.naming import Naming
from isthmus.domain.mesh.dns import Zone
from tests.adapters.agent.asking import Upstream, ask, by_tcp, by_udp, sent
from tests.adapters.agent.network import alone

pytestmark = pytest.mark.timeout(60)

V4, V6, MEMBER, STRANGER, UPSTREAM = "10.20.0.1", "fd00:20::1", "10.20.0.9", "10.99.0.9", "127.0.0.53"
CIDRS = (ip_network("10.20.0.0/24"), ip_network("fd00:20::/64"))
NAMES = {
    "gw": (ip_address(V4), ip_address(V6)),
    "laptop": (ip_address("10.20.0.2"), ip_address("fd00:20::2")),
}
NAMING = Naming(
    "office.internal",
    CIDRS,
    NAMES["gw"],
    Zone("office.internal", "gw", NAMES, CIDRS),
    (ip_address(UPSTREAM),),
)
INTERFACE = "ist-office"
Work = Callable[[Listeners], Awaitable[Any]]


def serving(work: Work, naming: Naming = NAMING) -> Any:
    """`work` beside a running name server, in a network of its own with the addresses of a jump peer and a member."""

    async def run() -> Any:
        for command in (
            "ip link set lo up",
            f"ip tuntap add dev {INTERFACE} mode tun",
            f"ip address add {V4}/32 dev {INTERFACE}",
            f"ip address add {V6}/128 dev {INTERFACE} nodad",
            f"ip address add {MEMBER}/32 dev {INTERFACE}",
            f"ip address add {STRANGER}/32 dev {INTERFACE}",
            f"ip link set {INTERFACE} up",
        ):
            await tools.run(command.split())
        listeners = Listeners()
        assert await listeners.update(INTERFACE, naming) == ()
        try:
            return await work(listeners)
        finally:
            listeners.close()

    return alone(run)


def values(message: dns.message.Message) -> list[str]:
    return [str(item) for rrset in message.answer for item in rrset]


def answered(query: dns.message.Message, *texts: str, ttl: int = 60) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    if texts:
        response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", question.rdtype, *texts))
    return response


def test_answers_for_both_families_by_udp_and_tcp_and_back_from_addresses() -> None:
    async def work(_listeners: Listeners) -> None:
        for server in (V4, V6):
            for tcp in (False, True):
                assert values(await ask(server, "laptop.office.internal", tcp=tcp)) == ["10.20.0.2"]
                assert values(await ask(server, "LAPTOP.Office.Internal", "AAAA", tcp=tcp)) == ["fd00:20::2"]
                for address in NAMES["laptop"]:
                    pointer = await ask(server, address.reverse_pointer, "PTR", tcp=tcp)
                    assert values(pointer) == ["laptop.office.internal."]
                unknown = await ask(server, "nobody.office.internal", tcp=tcp)
                assert unknown.rcode() == dns.rcode.NXDOMAIN
                assert unknown.flags & dns.flags.AA
                assert [(str(rrset.name), rrset.ttl) for rrset in unknown.authority] == [("office.internal.", 1)]
                assert unknown.authority[0][0].minimum == 1
        other = await ask(V4, "laptop.office.internal", "MX")
        assert (other.rcode(), values(other), len(other.authority)) == (dns.rcode.NOERROR, [], 1)

    serving(work)


def test_a_change_of_names_is_answered_at_once_and_a_change_of_addresses_moves_the_sockets() -> None:
    async def work(listeners: Listeners) -> None:
        zone = Zone("office.internal", "gw", {"gw": NAMES["gw"], "renamed": NAMES["laptop"]}, CIDRS)
        await listeners.update(INTERFACE, replace(NAMING, zone=zone))
        assert (await ask(V4, "laptop.office.internal")).rcode() == dns.rcode.NXDOMAIN
        assert values(await ask(V4, "renamed.office.internal")) == ["10.20.0.2"]

        await listeners.update(INTERFACE, replace(NAMING, servers=(ip_address(MEMBER),)))
        assert values(await ask(MEMBER, "laptop.office.internal")) == ["10.20.0.2"]
        with pytest.raises(ConnectionRefusedError):
            await by_tcp(V4, b"")
        remarks = await listeners.update(INTERFACE, replace(NAMING, servers=(ip_address("10.20.0.77"),)))
        assert remarks == ("names are not answered on 10.20.0.77 port 53: Cannot assign requested address",)

    serving(work)


def test_a_port_that_someone_else_has_is_reported_and_the_rest_goes_on() -> None:
    async def work(listeners: Listeners) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((MEMBER, 53))
            naming = replace(NAMING, servers=(ip_address(V4), ip_address(MEMBER)))
            remarks = await listeners.update(INTERFACE, naming)
            assert remarks == (f"names are not answered on {MEMBER} port 53: Address already in use",)
            assert values(await ask(V4, "laptop.office.internal")) == ["10.20.0.2"]
        assert await listeners.update(INTERFACE, naming) == ()
        assert values(await ask(MEMBER, "laptop.office.internal")) == ["10.20.0.2"]

    serving(work)


def test_nobody_outside_the_network_is_heard() -> None:
    async def work(_listeners: Listeners) -> None:
        packet = dns.message.make_query("laptop.office.internal", "A").to_wire()
        assert len(await by_udp(V4, packet, MEMBER)) > len(packet)
        with pytest.raises(TimeoutError):
            await by_udp(V4, packet, STRANGER, patience=0.3)
        assert await by_tcp(V4, packet, source=STRANGER) == []

    serving(work)


def test_other_names_are_asked_of_the_upstream_once_and_kept_for_their_time() -> None:
    async def work(_listeners: Listeners) -> None:
        upstream = Upstream(lambda query, _: answered(query, "192.0.2.80"))
        async with upstream.at(UPSTREAM):
            for _ in range(3):
                found = await ask(V4, "www.example.com")
                assert values(found) == ["192.0.2.80"]
                assert found.flags & dns.flags.RA
                assert not found.flags & dns.flags.AA
            crowd = await asyncio.gather(*(ask(V6, "other.example.com", tcp=bool(n % 2)) for n in range(12)))
        assert {tuple(values(found)) for found in crowd} == {("192.0.2.80",)}
        assert upstream.asked == ["www.example.com. udp", "other.example.com. udp"]
        assert (await ask(V4, "www.example.com", "ANY")).rcode() == dns.rcode.NOTIMP

    serving(work)


def test_what_is_cut_off_is_asked_again_by_tcp_and_told_to_the_client() -> None:
    many = [f"192.0.2.{number}" for number in range(1, 200)]

    def script(query: dns.message.Message, by_tcp: bool) -> dns.message.Message:
        if by_tcp:
            return answered(query, *many)
        response = answered(query)
        response.flags |= dns.flags.TC
        return response

    async def work(_listeners: Listeners) -> None:
        upstream = Upstream(script)
        async with upstream.at(UPSTREAM):
            whole = await ask(V4, "many.example.com", tcp=True)
        assert set(values(whole)) == set(many)
        for payload in (0, 512, 1232, 4096):
            edns = 0 if payload else -1
            query = dns.message.make_query("many.example.com", "A", use_edns=edns, payload=payload or 512)
            cut = await sent(V4, query)
            assert cut.flags & dns.flags.TC
            assert len(cut.to_wire()) <= max(512, min(payload, 1232))
        assert upstream.asked == ["many.example.com. udp", "many.example.com. tcp"]

    serving(work)


def test_a_silent_upstream_ends_in_servfail_and_a_lying_one_is_passed_over() -> None:
    def script(query: dns.message.Message, by_tcp: bool) -> dns.message.Message | bytes | None:
        name = str(query.question[0].name)
        if name.startswith("silent"):
            return None
        if name.startswith("rubbish"):
            return b"\x00" * 40
        if name.startswith("forged"):
            forged = answered(query, "192.0.2.66")
            forged.id = query.id ^ 1
            return forged
        broken = dns.message.make_response(query)
        broken.set_rcode(dns.rcode.REFUSED)
        return broken

    async def work(listeners: Listeners) -> None:
        first, second = Upstream(script), Upstream(lambda query, _: answered(query, "192.0.2.80"))
        names = ("silent.example.com", "rubbish.example.com", "forged.example.com", "refused.example.com")
        async with first.at(UPSTREAM), second.at("127.0.0.54"):
            failed = await asyncio.gather(*(ask(V4, name) for name in names))
            assert [found.rcode() for found in failed] == [dns.rcode.SERVFAIL] * 4
            naming = replace(NAMING, upstreams=(ip_address(UPSTREAM), ip_address("127.0.0.54")))
            await listeners.update(INTERFACE, naming)
            helped = await asyncio.gather(*(ask(V4, name) for name in names))
            assert [values(found) for found in helped] == [["192.0.2.80"]] * 4

    serving(work)


def test_a_server_that_would_ask_itself_says_that_it_cannot() -> None:
    async def work(_listeners: Listeners) -> None:
        assert (await ask(V4, "www.example.com")).rcode() == dns.rcode.SERVFAIL

    serving(work, replace(NAMING, upstreams=(ip_address(V4), ip_address(V6))))


def test_one_client_with_many_open_questions_leaves_room_for_the_others() -> None:
    async def work(_listeners: Listeners) -> None:
        upstream = Upstream(lambda query, _: answered(query, "192.0.2.80") if b"good" in query.to_wire() else None)
        async with upstream.at(UPSTREAM):
            flood = [asyncio.create_task(ask(V4, f"n{number}.example.com", source=MEMBER)) for number in range(100)]
            turned_away = [await each for each in islice(asyncio.as_completed(flood, timeout=10), 100 - FORWARDED_EACH)]
            assert {found.rcode() for found in turned_away} == {dns.rcode.SERVFAIL}
            assert len(upstream.asked) == FORWARDED_EACH
            assert values(await ask(V4, "good.example.com")) == ["192.0.2.80"]
            assert values(await ask(V4, "laptop.office.internal", source=MEMBER)) == ["10.20.0.2"]
            await asyncio.gather(*flood)

    serving(work)


def test_hostile_packets_are_refused_or_dropped_and_the_server_goes_on() -> None:
    draw = random.Random(7)
    good = dns.message.make_query("laptop.office.internal", "A", use_edns=0).to_wire()

    def mangled() -> bytes:
        packet = bytearray(good)
        for _ in range(draw.randint(1, 6)):
            packet[draw.randrange(len(packet))] = draw.randrange(256)
        return bytes(packet[: draw.randint(0, len(packet))])

    async def work(_listeners: Listeners) -> None:
        loop = asyncio.get_running_loop()
        problems: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        hostile = [mangled() for _ in range(300)] + [b"", b"\x00", b"\xff" * 600]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((V4, 53))
            for packet in hostile:
                sender.send(packet)
        for packet in hostile[:40]:
            await by_tcp(V4, packet, good)
        # A length that nothing follows, and a client that leaves at once.
        _, writer = await asyncio.open_connection(V4, 53)
        writer.write(b"\xff\xff12")
        writer.close()
        assert values(await ask(V4, "laptop.office.internal")) == ["10.20.0.2"]
        assert problems == []

    serving(work)


HEADER = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@settings(max_examples=300)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(HEADER.__add__))
def test_every_packet_is_a_query_or_refused_or_dropped(packet: bytes) -> None:
    found = packets.read(packet)
    if isinstance(found, bytes):
        assert found[:2] == packet[:2]
        assert dns.message.from_wire(found).flags & dns.flags.QR
        # A refusal is hardly larger than what it refuses: nobody is flooded through us.
        assert len(found) <= len(packet) + 11
    elif found is not None:
        zone = NAMING.zone
        assert zone is not None
        answer = zone.answer(found.name, found.kind)
        if answer is not None:
            packets.packed(packets.from_zone(found, zone, answer), found, by_tcp=False)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"opcode": 4}, dns.rcode.NOTIMP),
        ({"opcode": 5}, dns.rcode.NOTIMP),
        ({"kind": "AXFR"}, dns.rcode.REFUSED),
        ({"kind": "IXFR"}, dns.rcode.REFUSED),
        ({"rdclass": "CH"}, dns.rcode.REFUSED),
        ({"edns": 1}, dns.rcode.BADVERS),
        ({"questions": 2}, dns.rcode.FORMERR),
        ({"questions": 0}, dns.rcode.FORMERR),
    ],
)
def test_what_is_no_plain_query_is_refused_with_its_reason(change: dict[str, Any], code: dns.rcode.Rcode) -> None:
    query = dns.message.make_query(
        "laptop.office.internal", change.get("kind", "A"), change.get("rdclass", "IN"), use_edns=change.get("edns", 0)
    )
    query.question *= change.get("questions", 1)
    packet = bytearray(query.to_wire())
    packet[2] |= change.get("opcode", 0) << 3
    refused = packets.read(bytes(packet))
    assert isinstance(refused, bytes)
    assert dns.message.from_wire(refused).rcode() == code


def an_answer(*lines: str, authority: bool = False, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    message = dns.message.make_response(dns.message.make_query("www.example.com", "A"))
    message.set_rcode(code)
    section = message.authority if authority else message.answer
    for line in lines:
        name, ttl, kind, text = line.split(" ", 3)
        section.append(dns.rrset.from_text(f"{name}.", int(ttl), "IN", kind, text))
    return message


SOA = "example.com 600 SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400"


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        (an_answer("www.example.com 60 A 192.0.2.1", "ns.example.com 30 A 192.0.2.2"), 30),
        (an_answer("www.example.com 900000 A 192.0.2.1"), 3600),
        (an_answer("www.example.com 0 A 192.0.2.1"), 0),
        (an_answer(f"{SOA} 20", authority=True, code=dns.rcode.NXDOMAIN), 20),
        (an_answer(f"{SOA} 90000", authority=True), 300),
        (an_answer(code=dns.rcode.NXDOMAIN), 0),
        (an_answer(), 0),
    ],
)
def test_an_answer_is_kept_as_long_as_it_says_within_bounds(message: dns.message.Message, seconds: int) -> None:
    assert lifetime(message) == seconds
    cache = Cache()
    cache.put(("www",), message, now=100.0)
    assert (cache.get(("www",), now=100.0) is not None) == (seconds > 0)
    assert cache.get(("www",), now=100.0 + seconds) is None
    assert cache.get(("www",), now=100.0) is None


def test_times_to_live_run_down_in_the_cache_and_the_oldest_entry_makes_room() -> None:
    cache = Cache(entries=2)
    for name in "abc":
        cache.put((name,), an_answer("www.example.com 60 A 192.0.2.1"), now=0.0)
        cache.get(("a",), now=0.0)
    assert [name for name in "abc" if cache.get((name,), now=0.0)] == ["a", "c"]
    kept = cache.get(("a",), now=45.5)
    assert kept is not None
    assert kept.answer[0].ttl == 15


def test_a_client_has_a_rate_and_the_others_have_their_own() -> None:
    rates = Rates(rate=10, burst=20)
    assert [rates.admits("one", 0.0) for _ in range(21)] == [True] * 20 + [False]
    assert rates.admits("two", 0.0)
    assert [rates.admits("one", 0.5) for _ in range(6)] == [True] * 5 + [False]


def test_places_are_given_back() -> None:
    places = Places(each=1, total=2)
    with (
        places.taken("one") as first,
        places.taken("one") as again,
        places.taken("two") as second,
        places.taken("three") as third,
    ):
        assert (first, again, second, third) == (True, False, True, False)
    with places.taken("three") as third:
        assert third


def test_only_a_host_that_answers_loads_the_library_of_packets() -> None:
    script = "import sys, isthmus.agent.main; sys.exit('dns' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.anyio
async def test_a_host_that_shall_not_answer_does_nothing() -> None:
    service = NameService()
    assert await service.serve(INTERFACE, None) == ()
    assert await service.serve(INTERFACE, replace(NAMING, zone=None)) == ()
