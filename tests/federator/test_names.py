"""Discovery against a real DNS server that says what a test wants, lies included."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import STALE_LIFE, Record
from isthmus.federator.adapters.dns import DnsResolver, Fixed, ResolvConf
from isthmus.federator.discovery import Discovery
from isthmus.federator.resolving import LookupFailed, Tlsa, parse_server
from lab.names_server import NamesServer, Reply, answers
from tests.federator.abroad import Ingress, a_server_leaf
from tests.federator.home import an_entry, at_home
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

NAME = "_isthmus-federator._tcp.b.example"
SRV = f"{NAME} SRV"
GOOD = "60 SRV 0 0 443 infra.b.example."


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def names() -> AsyncIterator[NamesServer]:
    async with NamesServer() as server:
        yield server


@pytest.fixture
def resolver(names: NamesServer) -> DnsResolver:
    return DnsResolver(Fixed([parse_server(names.where)]))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def discovery(resolver: DnsResolver, clock: Clock) -> AsyncIterator[Discovery]:
    made = Discovery(resolver, clock)
    yield made
    await made.close()


async def failure(resolver: DnsResolver) -> str:
    with pytest.raises(LookupFailed) as failed:
        await resolver.services(NAME)
    return str(failed.value)


async def find(discovery: Discovery, *, pinned: bool = True) -> frozenset[str]:
    return (await discovery.services("b.example", "isthmus-federator", {443}, pinned=pinned)).names


async def code_of(discovery: Discovery, *, pinned: bool = True) -> str:
    with pytest.raises(Denied) as denied:
        await find(discovery, pinned=pinned)
    return denied.value.code


async def test_an_answer_is_read(names: NamesServer, resolver: DnsResolver) -> None:
    names.say(SRV, Reply(("60 SRV 1 2 443 Infra.B.Example.", "60 SRV 0 0 0 .")))
    answer = await resolver.services(NAME)
    assert set(answer.items) == {Record(1, 2, 443, "infra.b.example"), Record(0, 0, 0, ".")}
    assert (answer.ttl, answer.authenticated, answer.alias) == (60, False, False)


async def test_the_question_is_absolute_and_nothing_else_is_asked(names: NamesServer, resolver: DnsResolver) -> None:
    await resolver.services(NAME)
    assert [(asked.name, asked.kind) for asked in names.questions] == [(NAME, "SRV")]


@pytest.mark.parametrize("reply", [Reply(rcode="NXDOMAIN"), Reply(), Reply(("60 CNAME nowhere.example.",))])
async def test_a_final_no_is_an_answer(names: NamesServer, resolver: DnsResolver, reply: Reply) -> None:
    names.say(SRV, reply)
    assert (await resolver.services(NAME)).items == ()


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
async def test_a_resolver_that_cannot_tell_is_no_answer(names: NamesServer, resolver: DnsResolver, rcode: str) -> None:
    names.say(SRV, Reply(rcode=rcode))
    assert rcode in await failure(resolver)


@pytest.mark.parametrize("how", ["silence", "wrong-id", "wrong-question", "garbage"])
async def test_what_is_no_answer_to_the_question_is_passed_over(
    names: NamesServer, resolver: DnsResolver, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.federator.adapters.dns.LOOKUP_SECONDS", 0.5)
    names.say(SRV, Reply((GOOD,), how=how))  # type: ignore[arg-type]
    began = time.monotonic()
    assert "within" in await failure(resolver)
    assert time.monotonic() - began < 3


async def test_a_forged_answer_does_not_keep_the_true_one_out(names: NamesServer, resolver: DnsResolver) -> None:
    names.say(SRV, Reply((GOOD,), how="wrong-id"), Reply((GOOD,)))
    assert len((await resolver.services(NAME)).items) == 1


async def test_a_cut_answer_is_fetched_by_tcp(names: NamesServer, resolver: DnsResolver) -> None:
    names.say(SRV, Reply((GOOD,), how="truncated"))
    assert len((await resolver.services(NAME)).items) == 1
    assert [asked.transport for asked in names.questions] == ["udp", "tcp"]
    names.say(SRV, Reply((GOOD,), how="truncated-no-tcp"))
    await failure(resolver)


async def test_the_next_resolver_is_asked_when_one_fails(names: NamesServer) -> None:
    names.say(SRV, Reply((GOOD,)))
    async with (
        NamesServer({SRV: [Reply(rcode="SERVFAIL")]}) as broken,
        NamesServer({SRV: [Reply(how="silence")]}) as mute,
    ):
        resolver = DnsResolver(Fixed([parse_server(each.where) for each in (broken, mute, names)]))
        assert len((await resolver.services(NAME)).items) == 1


async def test_ad_counts_from_a_resolver_that_nobody_sits_before(names: NamesServer) -> None:
    names.say(SRV, Reply((GOOD,), authenticated=True))
    server = parse_server(names.where)
    assert (await DnsResolver(Fixed([server])).services(NAME)).authenticated
    assert parse_server("127.0.0.53").vouches
    assert not parse_server("192.0.2.53").vouches
    assert parse_server("[2001:db8::1]:5353", trusted=True).vouches


async def test_the_resolvers_of_the_system_are_read_anew_when_the_file_changes(
    names: NamesServer, tmp_path: Path
) -> None:
    file = tmp_path / "resolv.conf"
    read = ResolvConf(file)
    with pytest.raises(LookupFailed):
        read()
    file.write_text("# one\nsearch example\nnameserver 192.0.2.1\nnameserver nonsense\n")
    assert [str(server.address) for server in read()] == ["192.0.2.1"]
    file.write_text("nameserver 192.0.2.2\nnameserver 2001:db8::1\n")
    assert [str(server.address) for server in read()] == ["192.0.2.2", "2001:db8::1"]


async def test_addresses_of_both_kinds_are_found_and_one_answer_is_enough(
    names: NamesServer, resolver: DnsResolver
) -> None:
    names.say("infra.b.example A", *answers("60 A 192.0.2.1", "60 A 192.0.2.2"))
    names.say("infra.b.example AAAA", *answers("30 AAAA 2001:db8::1"))
    answer = await resolver.addresses("infra.b.example")
    assert set(map(str, answer.items)) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert answer.ttl == 30
    names.say("infra.b.example AAAA", Reply(rcode="SERVFAIL"))
    assert len((await resolver.addresses("infra.b.example")).items) == 2
    names.say("infra.b.example A", Reply())
    with pytest.raises(LookupFailed):
        await resolver.addresses("infra.b.example")


async def test_tlsa_records_are_read(names: NamesServer, resolver: DnsResolver) -> None:
    names.say("_443._tcp.infra.b.example TLSA", *answers("60 TLSA 3 1 1 " + "ab" * 32))
    assert (await resolver.associations("_443._tcp.infra.b.example")).items == (Tlsa(3, 1, 1, bytes([0xAB] * 32)),)


async def test_one_lookup_serves_all_who_wait_for_it(names: NamesServer, discovery: Discovery) -> None:
    names.say(SRV, Reply((GOOD,), delay=0.2))
    found = await asyncio.gather(*(find(discovery) for _ in range(50)))
    assert set(found) == {frozenset({"infra.b.example"})}
    assert names.asked(SRV) == 1


async def test_whoever_gives_up_leaves_the_lookup_to_the_others(names: NamesServer, discovery: Discovery) -> None:
    names.say(SRV, Reply((GOOD,), delay=0.3))
    first = asyncio.create_task(find(discovery))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(find(discovery))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second == {"infra.b.example"}
    assert names.asked(SRV) == 1


@pytest.mark.case("DNS-009")
@pytest.mark.parametrize(("ttl", "life"), [(0, 30), (60, 60), (604_800, 3600)])
async def test_answers_live_as_long_as_they_may(
    names: NamesServer, discovery: Discovery, clock: Clock, ttl: int, life: int
) -> None:
    names.say(SRV, *answers(f"{ttl} SRV 0 0 443 infra.b.example."))
    for moment, lookups in ((0, 1), (life - 1, 1), (life, 2)):
        clock.now = 1000.0 + moment
        await find(discovery)
        assert names.asked(SRV) == lookups


@pytest.mark.case("DNS-009")
async def test_there_is_none_is_asked_again_after_half_a_minute(
    names: NamesServer, discovery: Discovery, clock: Clock
) -> None:
    names.say(SRV, Reply(rcode="NXDOMAIN", negative_ttl=86_400))
    for moment, lookups in ((0, 1), (29, 1), (30, 2)):
        clock.now = 1000.0 + moment
        assert await code_of(discovery) == "discovery_no_service"
        assert names.asked(SRV) == lookups


async def test_a_pinned_mapping_is_served_for_an_hour_of_failure(
    names: NamesServer, discovery: Discovery, clock: Clock
) -> None:
    names.say(SRV, *answers(GOOD))
    await find(discovery)
    names.say(SRV, Reply(rcode="SERVFAIL"))
    clock.now += 60
    assert await code_of(discovery, pinned=False) == "discovery_unavailable"
    while clock.now < 1000 + 60 + STALE_LIFE:
        assert await find(discovery) == {"infra.b.example"}
        clock.now += 61
    assert await code_of(discovery) == "discovery_unavailable"
    names.say(SRV, Reply(rcode="NXDOMAIN"))
    clock.now += 61
    assert await code_of(discovery) == "discovery_no_service"


async def test_nobody_waits_for_a_dead_resolver_while_an_old_answer_may_stand_in(
    names: NamesServer, discovery: Discovery, clock: Clock
) -> None:
    names.say(SRV, *answers(GOOD))
    await find(discovery)
    names.say(SRV, Reply(how="silence"))
    clock.now += 60
    for _ in range(3):
        before, began = names.asked(SRV), time.monotonic()
        found = await asyncio.gather(*(find(discovery) for _ in range(20)))
        assert time.monotonic() - began < 1
        assert set(found) == {frozenset({"infra.b.example"})}
        await asyncio.sleep(0.1)
        assert names.asked(SRV) <= before + 1
        clock.now += 11
    names.say(SRV, *answers("60 SRV 0 0 443 infra2.b.example."))
    # The lookup that waits for the silent resolver asks it once more, and so finds out by itself.
    found = []
    for _ in range(100):
        found.append(await find(discovery))
        await asyncio.sleep(0.05)
        if found[-1] != {"infra.b.example"}:
            break
    assert found[-1] == {"infra2.b.example"}


async def test_a_slow_resolver_is_believed_as_soon_as_it_has_answered(
    names: NamesServer, discovery: Discovery, clock: Clock
) -> None:
    names.say(SRV, *answers(GOOD))
    await find(discovery)
    names.say(SRV, Reply(("60 SRV 0 0 443 infra2.b.example.",), delay=0.4))
    clock.now += 60
    assert await find(discovery) == {"infra.b.example"}
    await asyncio.sleep(0.8)
    assert await find(discovery) == {"infra2.b.example"}
    assert names.asked(SRV) == 2


async def test_a_final_no_ends_a_stale_answer_at_once(names: NamesServer, discovery: Discovery, clock: Clock) -> None:
    names.say(SRV, *answers(GOOD))
    await find(discovery)
    names.say(SRV, Reply(rcode="NXDOMAIN"))
    clock.now += 60
    assert await code_of(discovery) == "discovery_no_service"


@pytest.mark.case("DNS-009")
async def test_a_pinned_remote_is_reached_without_dns_for_an_hour_and_no_longer(
    tmp_path: Path, b_authority: Forged, clock: Clock
) -> None:
    async with (
        at_home(tmp_path / "a", lookup_clock=clock) as home,
        Ingress(a_server_leaf(b_authority), home.authority).running() as b,
    ):
        home.publish("b.example", b)
        home.know(an_entry(b_authority), ports=[b.port])
        assert (await home.call()).status == 200

        records = home.names.script.copy()
        broken = {question: [Reply(rcode="SERVFAIL")] for question in records}
        home.names.script.update(broken)
        for _ in range(4):
            clock.now += 600
            assert (await home.call()).status == 200
        # A final no is another matter than a failure, also while the old answer might be used.
        home.names.say(SRV, Reply(rcode="NXDOMAIN"))
        clock.now += 61
        assert (await home.call()).code == "discovery_no_service"
        await home.one_row("discovery.empty")

        home.names.script.update(records)
        clock.now += 31
        assert (await home.call()).status == 200
        home.names.script.update(broken)
        end = clock.now + 60 + STALE_LIFE
        while clock.now < end:
            assert (await home.call()).status == 200
            clock.now += 300
        assert await home.rows() == []
        while clock.now < end + STALE_LIFE:
            answer = await home.call()
            assert (answer.status, answer.code) == (503, "discovery_unavailable")
            await home.one_row("discovery.failed")
            clock.now += 900
        home.names.say(SRV, Reply(rcode="NXDOMAIN"))
        answer = await home.call()
        assert (answer.status, answer.code) == (422, "discovery_no_service")
        await home.one_row("discovery.empty")


async def test_dns_is_asked_six_times_a_minute_for_one_name(
    names: NamesServer, discovery: Discovery, clock: Clock
) -> None:
    names.say(SRV, Reply(rcode="SERVFAIL"))
    for _ in range(20):
        assert await code_of(discovery) == "discovery_unavailable"
    assert names.asked(SRV) == 6
    clock.now += 60
    await code_of(discovery)
    assert names.asked(SRV) == 7
