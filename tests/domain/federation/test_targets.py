"""Which addresses are dialled, in whatever disguise they come."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.targets import AddressPolicy, Ground, unwrapped

FORBIDDEN = {
    "127.0.0.1": "loopback", "127.9.9.9": "loopback", "::1": "loopback", "::": "unspecified",
    "0.1.2.3": "unspecified", "169.254.169.254": "metadata", "fd00:ec2::254": "metadata", "169.254.1.1": "link_local",
    "fe80::1": "link_local", "224.0.0.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "reserved",
    "240.0.0.1": "reserved", "10.1.2.3": "private", "172.16.0.1": "private", "192.168.1.1": "private",
    "100.64.0.1": "private", "fd12::1": "private", "2001::1": "reserved",
    str(IPv4Address(0)): "unspecified",
}  # fmt: skip
PLAIN = AddressPolicy()


def wrapped(address: IPv4Address) -> list[IPv6Address]:
    number = int(address)
    return [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]


def reason_of(policy: AddressPolicy, text: str, *bridged: str, overlays: Sequence[str] = ()) -> str:
    ground = Ground(tuple(map(ip_network, bridged)), tuple(map(ip_network, overlays)))
    try:
        policy.check(ip_address(text), ground)
    except Denied as denied:
        return f"{denied.code}:{denied.reason}".removeprefix("target_address_forbidden:")
    return ""


@pytest.mark.parametrize("text", FORBIDDEN)
def test_addresses_of_our_own_machines_are_never_dialled(text: str) -> None:
    assert reason_of(PLAIN, text) == f"address.{FORBIDDEN[text]}"


@pytest.mark.parametrize("text", ["198.51.100.7", "203.0.113.1", "2001:db8::1", "8.8.8.8", "2a00::1", "192.0.2.1"])
def test_public_addresses_are_dialled(text: str) -> None:
    assert reason_of(PLAIN, text) == ""


@given(st.ip_addresses(v=4))
def test_a_disguise_helps_no_ipv4_address(address: IPv4Address) -> None:
    plain = reason_of(PLAIN, str(address))
    for disguised in wrapped(address):
        assert unwrapped(disguised) == address
        assert reason_of(PLAIN, str(disguised)) == plain


def test_an_operator_may_open_private_ranges_and_nothing_else() -> None:
    policy = AddressPolicy(allowed=(ip_network("10.0.0.0/8"), ip_network("169.254.0.0/16"), ip_network("0.0.0.0/0")))
    assert reason_of(policy, "10.1.2.3") == ""
    assert reason_of(policy, "169.254.169.254") == "address.metadata"
    assert reason_of(policy, "169.254.1.1") == "address.link_local"


def test_the_host_of_the_database_is_never_dialled_in_any_spelling() -> None:
    policy = AddressPolicy(allowed=(ip_network("10.0.0.0/8"),), hosts=frozenset({ip_address("10.0.0.5")}))
    assert reason_of(policy, "10.0.0.5") == "address.own_host"
    assert reason_of(policy, "::ffff:10.0.0.5") == "address.own_host"
    assert reason_of(policy, "10.0.0.6") == ""


def test_an_overlay_is_reached_by_a_bridge_of_that_remote_alone() -> None:
    overlays = ("10.20.0.0/16", "10.30.0.0/16", "203.0.113.0/24")
    policy = AddressPolicy(allowed=(ip_network("10.0.0.0/8"),))
    for address, own in (("10.20.0.1", "10.20.0.0/24"), ("203.0.113.7", "203.0.113.0/28")):
        assert reason_of(policy, address, overlays=overlays) == "address.overlay"
        assert reason_of(policy, address, "10.30.0.0/16", overlays=overlays) == "address.overlay"
        assert reason_of(policy, address, own, overlays=overlays) == ""


def test_what_a_snapshot_denies_is_never_dialled() -> None:
    policy = AddressPolicy(allowed=(ip_network("10.0.0.0/8"),))
    with pytest.raises(Denied) as denied:
        policy.check(ip_address("64:ff9b::10.0.0.5"), Ground(denied=frozenset({ip_address("10.0.0.5")})))
    assert denied.value.reason == "address.own_host"
    policy.check(ip_address("10.0.0.6"), Ground(denied=frozenset({ip_address("10.0.0.5")})))
