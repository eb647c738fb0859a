"""Forwarding on a host that lives by router advertisements: its default route stays, and all is put back."""

import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from isthmus.agent.adapters import tools
from isthmus.agent.adapters.sysctl import LinuxSysctls, forwards, honours_marks
from tests.adapters.agent.network import alone

ALL_NODES = "ff02::1"
ROUTER_LIFETIME_SECONDS = 1800


async def routed_by_advertisement() -> None:
    """A device `guest` whose default route came from a router at the other end of its cable."""
    await tools.run(["ip", "link", "add", "guest", "type", "veth", "peer", "name", "router"])
    for name, value in (("accept_ra", 1), ("forwarding", 0), ("accept_dad", 0), ("disable_ipv6", 0)):
        await tools.run(
            ["sysctl", "-qw", f"net.ipv6.conf.guest.{name}={value}", f"net.ipv6.conf.router.{name}={value}"]
        )
    # One interface of the host forwards already, and has to do so afterwards.
    await tools.run(["sysctl", "-qw", "net.ipv6.conf.router.forwarding=1"])
    await tools.run(["ip", "link", "set", "guest", "up"])
    await tools.run(["ip", "link", "set", "router", "up"])
    await until(lambda: shows("ip -6 address show dev router scope link", "fe80::"))
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("router"))
        advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, ROUTER_LIFETIME_SECONDS, 0, 0)
        raw.sendto(advertisement, (ALL_NODES, 0, 0, socket.if_nametoindex("router")))
    await until(has_default_route)


async def shows(command: str, text: str) -> bool:
    return text in await tools.run(command.split())


async def has_default_route() -> bool:
    return await shows("ip -6 route show default", "proto ra")


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(200):
        if await fact():
            return
    raise AssertionError("what was waited for did not come")


def settings() -> dict[str, str]:
    return LinuxSysctls().before_forwarding(4) | LinuxSysctls().before_forwarding(6) | LinuxSysctls().before_marks()


def test_the_advertised_default_route_survives_and_everything_is_put_back() -> None:
    async def work() -> None:
        await routed_by_advertisement()
        await tools.run(["sysctl", "-qw", "net.ipv4.conf.all.accept_redirects=0"])
        sysctls, before = LinuxSysctls(), settings()
        former = {**sysctls.before_forwarding(4), **sysctls.before_forwarding(6), **sysctls.before_marks()}
        sysctls.enable_forwarding(4)
        sysctls.enable_forwarding(6)
        sysctls.honour_marks()
        assert (forwards(4), forwards(6), honours_marks()) == (True, True, True)
        assert await has_default_route()
        sysctls.restore({**former, "ipv6/conf/gone/forwarding": "0"})
        assert settings() == before
        assert await has_default_route()

    alone(work)


def test_without_care_the_route_would_have_gone() -> None:
    async def work() -> None:
        await routed_by_advertisement()
        await tools.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
        assert not await has_default_route()

    alone(work)


@pytest.mark.parametrize("family", [4, 6])
def test_a_host_that_forwards_is_seen_as_such(family: int) -> None:
    switch = "net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding"

    async def work() -> None:
        for value in (1, 0):
            await tools.run(["sysctl", "-qw", f"{switch}={value}"])
            assert forwards(4 if family == 4 else 6) == bool(value)

    alone(work)
