"""Probes: they reach the other's port or bring a round trip, and nobody who may not send is stopped by that."""

import asyncio
import os
from ipaddress import ip_address

import pytest

from isthmus.agent.adapters import tools
from isthmus.agent.adapters.echo import Echo
from isthmus.domain.addresses import IPAddress
from tests.adapters.agent.network import alone

HERE = (ip_address("127.0.0.1"), ip_address("::1"))
NOBODY = 65_534


async def answers(groups: str) -> dict[IPAddress, int]:
    """Those to one probe to either loopback address, where groups in this range may send echoes."""
    await tools.run(["ip", "link", "set", "lo", "up"])
    await tools.run(["sh", "-c", f"echo '{groups}' >/proc/sys/net/ipv4/ping_group_range"])
    with Echo() as echo:
        for address in HERE:
            echo.send(address)
        await asyncio.sleep(0.2)
        return echo.take()


@pytest.mark.parametrize("groups", ["0 0", "1 0"], ids=["as anybody", "as root alone"])
def test_an_echo_tells_its_round_trip_once(groups: str) -> None:
    found = alone(lambda: answers(groups))
    assert found.keys() == set(HERE)
    assert all(0 < took < 200_000 for took in found.values())


def test_an_answer_is_taken_once_and_an_echo_to_nowhere_brings_none() -> None:
    async def work() -> tuple[dict[IPAddress, int], dict[IPAddress, int]]:
        with Echo() as echo:
            echo.send(ip_address("192.0.2.1"))
            await asyncio.sleep(0.05)
            first = echo.take()
        return first, echo.take()

    assert alone(work) == ({}, {})


def test_one_who_may_send_no_echo_sends_a_datagram_that_makes_the_other_answer_too() -> None:
    async def work() -> str:
        await tools.run(["ip", "link", "set", "lo", "up"])
        await tools.run(["sh", "-c", "echo '1 0' >/proc/sys/net/ipv4/ping_group_range"])
        # Raw sockets ask the effective user's capabilities, which come back with the user.
        os.seteuid(NOBODY)
        try:
            with Echo() as echo:
                for address in HERE:
                    echo.send(address)
                await asyncio.sleep(0.05)
                assert echo.take() == {}
        finally:
            os.seteuid(0)
        return await tools.run(["cat", "/proc/net/snmp"])

    lines = [line.split() for line in alone(work).splitlines() if line.startswith("Udp:")]
    udp = dict(zip(*lines, strict=True))
    # Nobody listens there, which the kernel counts and answers.
    assert int(udp["NoPorts"]) >= 1
