"""Where calls go by what DNS says: a real DNS server that lies, and real TLS servers of remotes."""

import time
from collections import Counter
from ipaddress import ip_address
from math import sqrt

import pytest

from lab.names_server import Reply, answers
from tests.federator.abroad import Ingress, a_server_leaf
from tests.federator.home import Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

NAME = "_isthmus-federator._tcp.b.example"
SRV = f"{NAME} SRV"
GOOD = "60 SRV 0 0 443 infra.b.example."


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
        plans = [home.outward.outbound.ways.plan(services) for _ in range(10_000)]
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
