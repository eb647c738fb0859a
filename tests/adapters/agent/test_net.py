"""The host's own network: what is observed is what was done, and a change by others is heard of."""

import asyncio
from collections.abc import Set
from ipaddress import ip_address, ip_network

import pytest

from isthmus.agent.adapters import tools
from isthmus.agent.adapters.changes import HostChanges
from isthmus.agent.adapters.net import LinuxNet
from isthmus.agent.errors import ToolFailed
from isthmus.agent.observed import HostState, Link, Route, Rule
from isthmus.agent.steps import (
    AddAddress,
    AddRoute,
    AddRule,
    LinkStep,
    LinkUp,
    MarkInterface,
    RemoveAddress,
    RemoveRoute,
    RemoveRule,
    SetMtu,
)
from isthmus.domain.addresses import Endpoint
from tests.adapters.agent.network import alone

INTERFACE = "ist-test"
V4, V6 = ip_address("10.20.0.2"), ip_address("fd00:20::2")
ROUTES: Set[Route] = {
    Route(ip_network("10.20.0.0/24")),
    Route(ip_network("10.21.0.1/32")),
    Route(ip_network("fd00:20::/64")),
    Route(ip_network("fd00:21::1/128")),
    Route(ip_network("0.0.0.0/0"), 1_224_736_769),
    Route(ip_network("::/0"), 1_224_736_769),
}
RULES: Set[Rule] = {
    Rule(family, 20_000 + number, table, mark, suppress)
    for family in (4, 6)
    for number, table, mark, suppress in ((0, None, None, 0), (1, 1_224_736_769, 0x4900_0001, None))
}


async def a_host() -> None:
    await tools.run(["ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "eth0"])
    await tools.run(["ip", "link", "set", "eth0", "up"])
    await tools.run(["ip", "route", "add", "10.9.0.0/16", "dev", "eth0"])


def test_what_was_done_is_observed_and_can_be_undone() -> None:
    steps: list[LinkStep] = [MarkInterface("isthmus:p-1"), SetMtu(1380), AddAddress(V4), AddAddress(V6), LinkUp()]
    steps += [AddRoute(route) for route in sorted(ROUTES, key=str)]
    steps += [AddRule(rule) for rule in sorted(RULES, key=str)]

    async def work() -> tuple[HostState, HostState]:
        await a_host()
        net = LinuxNet()
        await net.apply(INTERFACE, steps)
        full = await net.observe(INTERFACE)
        undo: list[LinkStep] = [RemoveRule(rule) for rule in sorted(RULES, key=str)]
        undo += [RemoveRoute(route) for route in sorted(ROUTES, key=str)]
        await net.apply(INTERFACE, [*undo, RemoveAddress(V4), RemoveAddress(V6)])
        return full, await net.observe(INTERFACE)

    full, empty = alone(work)
    assert full.link == Link("veth", 1380, True, "isthmus:p-1", frozenset({V4, V6}))
    assert full.routes == ROUTES
    assert full.rules == RULES
    assert full.foreign_routes[ip_network("10.9.0.0/16")] == "eth0"
    assert empty.link is not None
    assert (empty.link.addresses, empty.routes, empty.rules) == (frozenset(), frozenset(), frozenset())
    assert ip_network("10.9.0.0/16") in empty.foreign_routes


def test_an_interface_that_is_not_there_is_no_failure() -> None:
    assert alone(lambda: LinuxNet().observe("ist-none")).link is None


def test_a_step_that_the_kernel_refuses_fails_with_its_words() -> None:
    async def work() -> None:
        await a_host()
        with pytest.raises(ToolFailed, match="not up"):
            await LinuxNet().apply(INTERFACE, [AddRoute(Route(ip_network("10.20.0.0/24")))])

    alone(work)


@pytest.mark.parametrize(
    "change",
    [
        "ip link set eth0 down",
        "ip address add 10.1.1.1/32 dev eth0",
        "ip -6 address add fd00::1/128 dev eth0",
        "ip route add 10.8.0.0/16 dev eth0",
        "ip rule add priority 77 table 7",
        "ip -6 rule add priority 77 table 7",
        "nft add table inet other",
    ],
)
def test_a_change_by_others_is_heard_of_and_looked_at_once(change: str) -> None:
    async def work() -> None:
        await a_host()
        with HostChanges() as changes:
            assert not changes.is_same()
            assert changes.is_same()
            await tools.run(["sh", "-c", change])
            async with asyncio.timeout(5):
                await changes.wait()
            assert not changes.is_same()
            assert changes.is_same()
        assert not changes.is_same()

    alone(work)


def test_a_host_that_did_not_change_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        await a_host()
        with HostChanges() as changes:
            net = LinuxNet(changes)
            first = await net.observe(INTERFACE)
            with monkeypatch.context() as patched:
                patched.setattr(tools, "ENVIRONMENT", {"PATH": "/nowhere"})
                assert await net.observe(INTERFACE) == first
            await net.apply(INTERFACE, [SetMtu(1300)])
            second = await net.observe(INTERFACE)
            assert second.link is not None
            assert second.link.mtu == 1300

    alone(work)


def test_addresses_are_their_own_answer_and_unknown_names_have_none() -> None:
    async def work() -> None:
        net = LinuxNet()
        assert await net.resolve(Endpoint("2001:db8::7", 1)) == Endpoint("2001:db8::7", 1)
        assert await net.resolve(Endpoint("localhost", 2)) in (Endpoint("127.0.0.1", 2), Endpoint("::1", 2))
        assert await net.resolve(Endpoint("none.invalid", 3)) is None

    alone(work)


def test_a_host_is_found_at_its_own_lasting_addresses_and_in_no_tunnel() -> None:
    commands = [
        "link add eth0 type veth peer name eth1",
        "link set eth0 up",
        "link set eth1 up",
        "address add 2001:db8::5/64 dev eth0 nodad",
        "address add 2001:db8::6/64 dev eth0 nodad preferred_lft 0",
        "address add 192.0.2.5/24 dev eth0",
        "address add 169.254.7.7/16 dev eth0 scope link",
        "tuntap add dev vpn0 mode tun",
        "link set vpn0 up",
        "address add 10.99.0.1/24 dev vpn0",
        "link add docker0 type bridge",
        "link set docker0 up",
        "address add 172.17.0.1/16 dev docker0",
        "link add eth9 type veth peer name eth8",
        "address add 192.0.2.9/24 dev eth9",
        f"link add {INTERFACE} type veth peer name eth7",
        f"link set {INTERFACE} up",
        f"address add {V4}/32 dev {INTERFACE}",
    ]

    async def work() -> HostState:
        await tools.run(["ip", "link", "set", "lo", "up"])
        for command in commands:
            await tools.run(["ip", *command.split()])
        return await LinuxNet().observe(INTERFACE)

    assert alone(work).local == (ip_address("192.0.2.5"), ip_address("2001:db8::5"))
