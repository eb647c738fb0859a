"""How packets travel in a lab: routed, masqueraded, lost."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Host, Lab, Nat


@dataclass
class Town:
    lab: Lab
    gw: Host
    home: Nat
    laptop: Host
    printer: Host


@pytest.fixture(scope="module")
def town(lab: Lab) -> Town:
    gw = lab.host("gw", address="198.51.100.7")
    home = lab.nat("home", public="203.0.113.20")
    return Town(lab, gw, home, lab.host("laptop", behind=home), lab.host("printer", behind=home))


def test_a_host_behind_nat_reaches_the_internet_in_both_families(town: Town) -> None:
    assert town.laptop.ping(town.gw.ipv4)
    assert town.laptop.ping(town.gw.ipv6)


def test_the_internet_does_not_reach_a_host_behind_nat(town: Town) -> None:
    assert not town.gw.ping(town.laptop.ipv4, count=1, timeout=0.3)
    assert not town.gw.ping(town.laptop.ipv6, count=1, timeout=0.3)


def test_the_nat_lets_nothing_in_even_when_there_is_a_route(town: Town) -> None:
    route = f"{town.home.lan.ipv4} via {town.home.ipv4} dev to-home onlink"
    town.lab.internet.router.ip(f"route add {route}")
    assert not town.gw.ping(town.laptop.ipv4, count=1, timeout=0.3)
    assert town.laptop.ping(town.gw.ipv4)
    town.lab.internet.router.ip(f"route del {route}")


def test_hosts_behind_one_nat_reach_each_other(town: Town) -> None:
    assert town.laptop.ping(town.printer.ipv4)
    assert town.laptop.ping(town.printer.ipv6)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_the_internet_sees_the_address_of_the_nat(town: Town, family: str) -> None:
    sniffer = town.gw.start(["tcpdump", "-n", "-l", "-i", "eth0", "icmp or icmp6"], name=f"tcpdump-{family}")
    sniffer.wait_for("listening on eth0")
    town.laptop.ping(getattr(town.gw, family))
    assert f"{getattr(town.home, family)} >" in sniffer.wait_for("echo request")
    sniffer.stop()


def test_every_host_is_a_machine_of_its_own(town: Town) -> None:
    for host in (town.gw, town.laptop):
        assert host.run(["hostname"]).stdout == f"{host.name}\n"
        assert host.run(["ls", "/etc/wireguard", "/run/netns"], check=False).stdout.split() == ["/etc/wireguard:"]
    assert town.gw.path("/etc/machine-id").read_text() != town.laptop.path("/etc/machine-id").read_text()


def test_a_host_has_no_way_to_the_real_machine(town: Town) -> None:
    shown = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True, timeout=10).stdout
    own = [
        entry["local"] for device in json.loads(shown) for entry in device["addr_info"] if entry["scope"] == "global"
    ]
    assert not any(town.gw.ping(address, count=1, timeout=0.3) for address in own)
    assert {"to-gw", "lan"}.isdisjoint(device["ifname"] for device in json.loads(shown))


@pytest.mark.parametrize("folder", ["/etc", "/etc/wireguard", "/run", "/var/lib", "/var/lib/isthmus"])
def test_what_a_host_writes_to_its_system_folders_is_its_own(town: Town, folder: str) -> None:
    file = f"{folder}/lab-probe-{os.getpid()}"
    town.gw.path(file).write_text("mine")
    assert town.gw.run(["cat", file]).stdout == "mine"
    assert not Path(file).exists()
    assert not town.laptop.path(file).exists()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_loss_on_a_link_is_what_a_ping_measures(town: Town, family: str) -> None:
    town.lab.loss(town.printer, 30)
    result = town.laptop.ping(getattr(town.printer, family), count=200, timeout=0.3)
    town.lab.mend(town.printer)
    # A ping passes the link twice, so 51 % of 200 are expected to be lost; the bounds are 5 sigma away.
    assert 33 < result.loss < 69
    assert town.laptop.ping(getattr(town.printer, family), count=50).loss == 0


def test_a_cut_host_is_silent_until_it_is_mended(town: Town) -> None:
    town.lab.cut(town.gw)
    assert not town.laptop.ping(town.gw.ipv4, timeout=0.3)
    assert not town.laptop.ping(town.gw.ipv6, timeout=0.3)
    town.lab.mend(town.gw)
    assert town.laptop.ping(town.gw.ipv4).loss == 0
    assert town.laptop.ping(town.gw.ipv6).loss == 0


def test_two_parted_hosts_still_reach_everybody_else(town: Town) -> None:
    desk = town.lab.host("desk")
    town.lab.part(town.gw, desk)
    assert not desk.ping(town.gw.ipv4, count=1, timeout=0.3)
    assert not desk.ping(town.gw.ipv6, count=1, timeout=0.3)
    assert desk.ping(town.home.ipv4)
    assert town.laptop.ping(town.gw.ipv4)
    town.lab.unite(town.gw, desk)
    assert desk.ping(town.gw.ipv4)
    assert desk.ping(town.gw.ipv6)


def test_a_loss_that_is_no_percentage_is_refused(town: Town) -> None:
    with pytest.raises(ValueError, match="percentage"):
        town.lab.loss(town.gw, 101)


def test_a_host_needs_a_free_address_from_the_documentation_ranges_and_a_free_short_name(town: Town) -> None:
    with pytest.raises(ValueError, match="taken"):
        town.lab.host("second", address="198.51.100.7")
    with pytest.raises(ValueError, match="documentation ranges"):
        town.lab.host("outside", address="192.0.2.10")
    with pytest.raises(ValueError, match="already"):
        town.lab.host("gw")
    with pytest.raises(ValueError, match="up to 12"):
        town.lab.host("a-name-that-is-too-long")
    with pytest.raises(ValueError, match="own range"):
        town.lab.host("confused", address="198.51.100.9", behind=town.home)


def test_two_labs_at_once_do_not_collide(town: Town) -> None:
    with Lab() as other:
        gw = other.host("gw", address="198.51.100.7")
        desk = other.host("desk")
        town.lab.cut(town.gw)
        assert desk.ping(gw.ipv4), "the other lab's host of the same address is not cut"
        assert not town.laptop.ping(town.gw.ipv4, count=1, timeout=0.3)
        town.lab.mend(town.gw)
    assert town.laptop.ping(town.gw.ipv4)
