"""Discovery against a real DNS server that says what a test wants, lies included."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import ip_address
from math import sqrt
from pathlib import Path

import pytest

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import STALE_LIFE, Record
from isthmus.federator.adapters.dns import DnsResolver, Fixed, ResolvConf
from isthmus.federator.discovery import Discovery
from isthmus.federator.resolving import LookupFailed, Tlsa, parse_server
from lab.names_server import NamesServer, Reply, answers
from tests.federator.abroad import Ingress, a_server_leaf
from tests.federator.home import Home, an_entry
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


@pytest.mark.parametrize(("ttl", "life"), [(0, 30), (60, 60), (604_800, 3600)])
async def test_answers_live_as_long_as_they_may(
    names: NamesServer, discovery: Discovery, clock: Clock, ttl: int, life: int
) -> None:
    names.say(SRV, *answers(f"{ttl} SRV 0 0 443 infra.b.example."))
    for moment, lookups in ((0, 1), (life - 1, 1), (life, 2)):
        clock.now = 1000.0 + moment
        await find(discovery)
        assert names.asked(SRV) == lookups


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


TRANSIENT = {
    "servfail": Reply(rcode="SERVFAIL"),
    "timeout": Reply(how="silence"),
    "wrong id": Reply((GOOD,), how="wrong-id"),
    "truncated without tcp": Reply((GOOD,), how="truncated-no-tcp"),
}
FINAL = {"nxdomain": Reply(rcode="NXDOMAIN"), "empty": Reply()}


@pytest.mark.parametrize("which", [*FINAL, *TRANSIENT])
async def test_transient_and_final_answers_are_told_apart(home: Home, b: Ingress, which: str) -> None:
    home.names.say(SRV, {**FINAL, **TRANSIENT}[which])
    answer = await home.call()
    if which in FINAL:
        assert (answer.status, answer.code, answer.problem["retryable"]) == (422, "discovery_no_service", False)
    else:
        assert (answer.status, answer.code, answer.problem["retryable"]) == (503, "discovery_unavailable", True)
        assert int(answer.headers["Retry-After"]) > 0
    assert len(await home.rows()) == 1
    assert b.connections + b.handshakes == 0


ODD = {
    "a lone dot": (["0 0 0 ."], "discovery_no_service"),
    "an alias": (["0 0 {port} alias.b.example."], "target_denied"),
    "a single label": (["0 0 {port} infra."], "target_denied"),
    "an IP text": (["0 0 {port} 127.0.0.1."], "target_denied"),
    "ssh": (["0 0 22 infra.b.example."], "target_denied"),
    "smtp": (["0 0 25 infra.b.example."], "target_denied"),
    "postgres": (["0 0 5432 infra.b.example."], "target_denied"),
    "not pinned": (["0 0 {port} infra.x.example."], "target_denied"),
}


@pytest.mark.parametrize("which", ODD)
async def test_odd_targets_and_ports_are_refused(home: Home, b: Ingress, b_authority: Forged, which: str) -> None:
    records, code = ODD[which]
    home.know(an_entry(b_authority, infra_domains=["infra.b.example", "alias.b.example"]), ports=[b.port])
    home.names.say("alias.b.example A", *answers("60 CNAME infra.b.example.", "infra.b.example. 60 A 127.0.0.1"))
    home.names.say(SRV, *answers(*(f"60 SRV {record.format(port=b.port)}" for record in records)))
    assert (await home.call()).code == code
    assert b.handshakes == 0
    assert len(await home.rows()) == 1


async def test_a_dot_beside_others_is_never_dialled(home: Home, b: Ingress) -> None:
    home.names.say(SRV, *answers("60 SRV 0 0 0 .", f"60 SRV 1 0 {b.port} infra.b.example."))
    assert (await home.call()).status == 200


async def test_an_infra_domain_that_is_not_pinned_is_suspicious(home: Home, b: Ingress) -> None:
    home.names.say(SRV, *answers(f"60 SRV 0 0 {b.port} dev.b.example."))
    assert (await home.call()).code == "target_denied"
    rows = await home.rows()
    assert [row.reason for row in rows] == ["infra_unpinned"]
    assert [(each.kind, each.domain) for each in home.suspicions] == [("infra_domain_changed", "b.example")]


@pytest.mark.parametrize("address", ["169.254.169.254", str(ip_address(0)), "10.1.2.3", "198.51.100.99"])
async def test_forbidden_addresses_are_not_dialled(home: Home, b: Ingress, address: str) -> None:
    home.names.say("infra.b.example A", *answers(f"60 A {address}"))
    answer = await home.call(headers={"Isthmus-Call-Seconds": "1"})
    if address == "198.51.100.99":
        assert answer.code in ("remote_timeout", "remote_refused")
    else:
        assert (answer.status, answer.code) == (403, "target_address_forbidden")
    assert len(await home.rows()) == 1


async def test_a_good_address_beside_a_forbidden_one_is_the_one_dialled(home: Home, b: Ingress) -> None:
    home.names.say("infra.b.example A", *answers("60 A 169.254.169.254", "60 A 127.0.0.1"))
    assert (await home.call()).status == 200


@pytest.mark.case("DNS-004")
@pytest.mark.parametrize("second", ["127.0.0.2", "127.0.0.1"])
async def test_the_address_that_was_checked_is_the_one_dialled(
    home: Home, b: Ingress, b_authority: Forged, second: str
) -> None:
    """Public and private are two addresses here; what matters is that no second answer moves the connection."""
    async with Ingress(b.leaf, home.authority, "127.0.0.2", b.port).running() as elsewhere:
        home.names.say("infra.b.example A", Reply(("0 A 127.0.0.1",)), Reply((f"0 A {second}",)))
        for _ in range(3):
            assert (await home.call()).status == 200
            home.outward.pool.close()
        assert elsewhere.handshakes == 0
        assert b.handshakes >= 1
        assert home.names.asked("infra.b.example A") == 1


@pytest.mark.case("DNS-006")
async def test_priority_and_weight_are_obeyed_and_a_dead_target_is_passed_over(home: Home, b_authority: Forged) -> None:
    weights = {"infra1": 1, "infra2": 3, "infra3": 6}
    pins = [f"{host}.b.example" for host in ("infra", "infra4", *weights)]
    leaf = a_server_leaf(b_authority, names=tuple(pins))
    async with Ingress(leaf, home.authority).running() as ingress:
        home.know(an_entry(b_authority, infra_domains=pins), ports=[ingress.port])
        records = [f"60 SRV 1 {weight} {ingress.port} {host}.b.example." for host, weight in weights.items()]
        records += [f"60 SRV 0 0 {ingress.port} infra.b.example.", f"60 SRV 2 0 {ingress.port} infra4.b.example."]
        home.names.say(SRV, *answers(*records))
        for name in pins:
            home.names.say(f"{name} A", *answers("60 A 127.0.0.1"))
        home.names.say("infra.b.example A", *answers("60 A 127.0.0.77"))

        services = await home.outward.lookups.services("b.example", "isthmus-federator", {ingress.port}, pinned=True)
        plans = [home.outward.outbound.plan(services) for _ in range(10_000)]
        assert {(plan[0].host, plan[-1].host) for plan in plans} == {("infra.b.example", "infra4.b.example")}
        picks = Counter(plan[1].host for plan in plans)
        for host, weight in weights.items():
            deviation = sqrt(10_000 * weight / 10 * (1 - weight / 10))
            assert abs(picks[f"{host}.b.example"] - 1000 * weight) <= 3 * deviation  # type: ignore[index]

        assert (await home.call()).status == 200
        assert ingress.names[0] in {f"{host}.b.example" for host in weights}


@pytest.mark.case("SEED-032")
async def test_the_question_is_service_protocol_and_backend_domain(home: Home, b: Ingress, b_authority: Forged) -> None:
    await home.call()
    home.know(an_entry(b_authority), ports=[b.port], service="wire-server-federator")
    home.names.say("_wire-server-federator._tcp.b.example SRV", *answers(f"60 SRV 0 0 {b.port} infra.b.example."))
    assert (await home.call()).status == 200
    assert [asked.name for asked in home.names.questions if asked.kind == "SRV"] == [
        "_isthmus-federator._tcp.b.example",
        "_wire-server-federator._tcp.b.example",
    ]
    others = {(asked.name, asked.kind) for asked in home.names.questions if asked.kind != "SRV"}
    assert others == {("infra.b.example", "A"), ("infra.b.example", "AAAA")}


@pytest.mark.case("SEED-019")
async def test_the_cached_remote_is_reached_while_dns_is_silent(home: Home, b: Ingress, b_authority: Forged) -> None:
    home.know(an_entry(b_authority), an_entry(b_authority, "c.example"), ports=[b.port])
    assert (await home.call()).status == 200
    for question in (SRV, SRV.replace("b.", "c."), "infra.b.example A", "infra.b.example AAAA"):
        home.names.say(question, Reply(how="silence"))
    began = time.monotonic()
    assert (await home.call()).status == 200
    answer = await home.call("/rpc/c.example/directory/get-user-by-handle")
    assert (answer.status, answer.code, answer.problem["retryable"]) == (503, "discovery_unavailable", True)
    assert int(answer.headers["Retry-After"]) > 0
    assert 2.5 < time.monotonic() - began < 8
    assert (await home.call()).status == 200


@pytest.mark.parametrize("vouched", [True, False])
async def test_an_entry_may_ask_for_dnssec(home: Home, b: Ingress, b_authority: Forged, vouched: bool) -> None:
    home.know(an_entry(b_authority, needs_dnssec=True), ports=[b.port])
    home.names.say(SRV, *answers(f"60 SRV 0 0 {b.port} infra.b.example.", authenticated=vouched))
    home.names.say("infra.b.example A", *answers("60 A 127.0.0.1", authenticated=True))
    home.names.say("infra.b.example AAAA", Reply(authenticated=True))
    answer = await home.call()
    assert answer.status == (200 if vouched else 403)
    if not vouched:
        await home.one_row("discovery.not_authenticated")


async def test_our_own_address_is_no_remote(home: Home) -> None:
    assert ip_address("127.0.0.1").is_loopback
    answer = await home.call("/rpc/a.example/directory/get-user-by-handle")
    assert answer.code == "upstream_unavailable"
    home.know()
    answer = await home.call("/rpc/a.example/directory/get-user-by-handle")
    assert answer.code == "target_denied"
    assert not home.names.questions


async def test_the_machine_of_our_database_is_never_dialled(home: Home, b: Ingress, b_authority: Forged) -> None:
    home.know(an_entry(b_authority), ports=[b.port], denied_addresses=["127.0.0.1"])
    assert (await home.call()).code == "target_address_forbidden"
    await home.one_row("address.own_host")
    assert b.handshakes == 0
