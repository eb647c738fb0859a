"""Hosts that are carried elsewhere, get another address, or have their clock set."""

import time

import pytest

from lab import Lab
from lab.process import Process

DAY = 86_400


def test_a_host_that_is_carried_behind_another_nat_goes_on_from_there(lab: Lab) -> None:
    gw, home, cafe = lab.host("mv-gw"), lab.nat("mv-home"), lab.nat("mv-cafe")
    laptop = lab.host("mv-laptop", behind=home)
    stays = laptop.start(["sleep", "infinity"])
    lab.cut(laptop)
    assert not laptop.ping(gw.ipv4, count=1, timeout=0.3)

    lab.move(laptop, behind=cafe)
    assert laptop.ipv4 in cafe.lan.ipv4
    assert laptop.ping(gw.ipv4)
    assert laptop.ping(gw.ipv6)
    assert stays.running
    assert not laptop.ping(home.lan.ipv4[1], count=1, timeout=0.3)
    lab.loss(laptop, 100)
    assert not laptop.ping(gw.ipv4, count=1, timeout=0.3)

    lab.move(laptop, address="198.51.100.99")
    assert gw.ping("198.51.100.99")
    lab.move(laptop, behind=home)
    assert laptop.ping(gw.ipv4)


def test_a_router_that_gets_another_address_carries_its_hosts_with_it(lab: Lab) -> None:
    gw, home = lab.host("re-gw"), lab.nat("re-home")
    phone = lab.host("re-phone", behind=home)
    sniffer = gw.start(["tcpdump", "-n", "-l", "-i", "eth0", "icmp"], name="tcpdump-re")
    sniffer.wait_for("listening on eth0")
    assert phone.ping(gw.ipv4)
    before = home.ipv4
    lab.move(home, address="203.0.113.77")
    assert phone.ping(gw.ipv4)
    assert phone.ping(gw.ipv6)
    sniffer.wait_for("203.0.113.77 >")
    sniffer.stop()
    assert not gw.ping(before, count=1, timeout=0.3)


def test_where_a_host_is_carried_must_be_somewhere(lab: Lab) -> None:
    host = lab.host("mv-host")
    with pytest.raises(ValueError, match="own range"):
        lab.move(host, address="198.51.100.98", behind=lab.nat("mv-nat"))


CLOCKS = """
import asyncio, time
async def main():
    while True:
        print(f"{time.time():.1f} {time.monotonic():.1f}", flush=True)
        await asyncio.sleep(0.05)
asyncio.run(main())
"""


def clocks(process: Process) -> tuple[float, float]:
    """How far the program's two clocks are from those of this machine, in seconds."""
    line = process.output.splitlines()[-1]
    wall, monotonic = map(float, line.split())
    return wall - time.time(), monotonic - time.monotonic()


def test_the_clock_of_a_host_can_be_set_while_its_programs_run(lab: Lab) -> None:
    host = lab.host("late", own_clock=True)
    program = host.start(["python3", "-c", CLOCKS], name="clocks")
    program.wait_for(".")
    for ahead in (0, DAY, -DAY, 0):
        lab.set_clock(host, ahead)
        time.sleep(0.3)
        wall, monotonic = clocks(program)
        assert abs(wall - ahead) < 2
        assert abs(monotonic) < 2
    program.kill()
    with pytest.raises(ValueError, match="own_clock"):
        lab.set_clock(lab.host("right"), DAY)
