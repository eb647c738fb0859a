"""What a host knows of its own place in the network, in a namespace where addresses come and go."""

import asyncio
import socket
import subprocess

from isthmus.agent.adapters import whereabouts
from tests.adapters.agent.network import alone

SOON = 5.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


def with_address(address: str) -> None:
    family = "-6" if ":" in address else "-4"
    ip("link", "add", "wan", "type", "veth", "peer", "name", "far")
    ip("link", "set", "far", "up")
    ip("address", "add", address, "dev", "wan", *(["nodad"] if family == "-6" else []))
    ip("link", "set", "wan", "up")
    ip(family, "route", "add", "default", "dev", "wan")


def test_the_sources_of_a_host_are_those_of_its_way_out() -> None:
    async def work() -> None:
        assert whereabouts.sources(0) == (None, None)
        with_address("203.0.113.9/24")
        assert whereabouts.sources(0) == ("203.0.113.9", None)
        # A mark that no rule asks for changes nothing.
        assert whereabouts.sources(7) == ("203.0.113.9", None)
        ip("address", "flush", "dev", "wan")
        ip("address", "add", "198.51.100.9/24", "dev", "wan")
        ip("route", "add", "default", "dev", "wan")
        assert whereabouts.sources(0) == ("198.51.100.9", None)

    alone(work)


def test_an_address_that_the_host_loses_is_noticed_and_no_other() -> None:
    async def work() -> None:
        with_address("203.0.113.9/24")
        ip("address", "add", "203.0.113.10/24", "dev", "wan")
        with socket.socket() as held:
            held.bind(("203.0.113.9", 0))
            leaving = asyncio.create_task(whereabouts.gone(held.getsockname()))
            ip("address", "del", "203.0.113.10/24", "dev", "wan")
            await asyncio.sleep(2 * whereabouts.LOOK_SECONDS)
            assert not leaving.done()
            ip("address", "flush", "dev", "wan")
            await asyncio.wait_for(leaving, SOON)

    alone(work)


def test_an_ipv6_address_that_the_host_loses_is_noticed_too() -> None:
    async def work() -> None:
        with_address("2001:db8:1::9/64")
        assert whereabouts.sources(0) == (None, "2001:db8:1::9")
        with socket.socket(socket.AF_INET6) as held:
            held.bind(("2001:db8:1::9", 0))
            leaving = asyncio.create_task(whereabouts.gone(held.getsockname()))
            await asyncio.sleep(2 * whereabouts.LOOK_SECONDS)
            assert not leaving.done()
            ip("-6", "address", "flush", "dev", "wan")
            await asyncio.wait_for(leaving, SOON)

    alone(work)
