"""Addresses through the use cases: allocation by many at once, reservations, quarantine."""

import asyncio
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, ip_address

import pytest

from isthmus.domain.addresses import IPAddress
from isthmus.domain.errors import InvalidValue, NetworkExhausted, NotFound
from isthmus.domain.mesh.ipam import usable
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application import networks, peers
from isthmus.server.application.addressing import Wanted
from tests.application.backend import ADA, BOTH_DATABASES, Backend, v4_of

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def lowest(cidr: IPv4Network, taken: set[IPv4Address], how_many: int) -> set[IPv4Address]:
    """The slow oracle: walk the hosts of `cidr` and take those that nobody has."""
    free = (host for host in cidr.hosts() if host not in taken)
    return {next(free) for _ in range(how_many)}


@BOTH_DATABASES
@pytest.mark.case("SEED-071")
async def test_parallel_creators_get_the_lowest_free_addresses_and_freed_ones_come_back_after_an_hour(
    backend: Backend,
) -> None:
    network = await backend.network()
    reserved = IPv4Address("10.20.0.3")
    await backend.networks.reserve(ADA, network.id, reserved, "printer")
    first = [await backend.peer(network, f"first-{number}") for number in range(5)]
    together = await asyncio.gather(*(backend.peer(network, f"peer-{number}") for number in range(50)))

    cidr = IPv4Network("10.20.0.0/24")
    given = [IPv4Address(text) for text in v4_of([*first, *together])]
    assert v4_of(first) == ["10.20.0.1", "10.20.0.2", "10.20.0.4", "10.20.0.5", "10.20.0.6"]
    assert set(given) == lowest(cidr, {reserved}, 55)
    assert len(set(given)) == 55
    for peer in [*first, *together]:
        assert all(address in own for address, own in zip(peer.addresses, network.cidrs, strict=True))
    assert len({peer.addresses[1] for peer in [*first, *together]}) == 55

    freed = {first[1].addresses[0], first[3].addresses[0]}
    for gone in (first[1], first[3]):
        await backend.peers.delete(ADA, gone.id, None, force=False)
    backend.clock.turn(HOUR - SECOND)
    assert v4_of([await backend.peer(network, "early")]) == ["10.20.0.57"]
    backend.clock.turn(SECOND)
    later = [await backend.peer(network, name) for name in ("late-1", "late-2")]
    assert {peer.addresses[0] for peer in later} == freed


async def test_capacity_counts_every_address_once(backend: Backend) -> None:
    network = await backend.network(cidr_v4="10.20.0.0/29")
    one, _, _, _ = [await backend.peer(network, f"peer-{number}") for number in range(4)]
    await backend.networks.reserve(ADA, network.id, IPv4Address("10.20.0.6"), None)
    await backend.peers.delete(ADA, one.id, None, force=False)
    v4, v6 = (await backend.networks.get(network.id)).capacity
    assert (v4.total, v4.used, v4.reserved, v4.held, v4.free) == (6, 3, 1, 1, 1)
    assert v6.used == 3
    assert v6.total == usable(network.cidr_v6).size

    await backend.peer(network, "last")
    with pytest.raises(NetworkExhausted):
        await backend.peer(network, "one-too-many")
    assert len(await backend.peers_of(network.id)) == 4
    assert (await backend.networks.get(network.id)).capacity[1].used == 4, "its IPv6 address was given back"


async def wish(backend: Backend, network: Network, v4: str | None = None, v6: str | None = None) -> None:
    wanted = Wanted(None if v4 is None else ip_address(v4), None if v6 is None else ip_address(v6))
    await backend.peers.create(ADA, network.id, peers.Draft("wish", wanted=wanted))


@pytest.mark.parametrize(
    ("v4", "problem"),
    [
        ("10.20.0.1", "is not free .peer"),
        ("10.20.0.9", "is not free .reserved"),
        ("10.20.0.2", "is not free .quarantine"),
        ("10.20.0.0", "not a host address"),
        ("10.20.0.255", "not a host address"),
        ("10.21.0.5", "not a host address"),
    ],
)
async def test_an_address_chosen_by_hand_must_be_free(backend: Backend, v4: str, problem: str) -> None:
    network = await backend.network()
    await backend.peer(network, "one")
    two = await backend.peer(network, "two")
    await backend.peers.delete(ADA, two.id, None, force=False)
    await backend.networks.reserve(ADA, network.id, IPv4Address("10.20.0.9"), None)
    with pytest.raises(InvalidValue, match=problem):
        await wish(backend, network, v4)
    await wish(backend, network, "10.20.0.77")
    assert "10.20.0.77" in v4_of(await backend.peers_of(network.id))


async def test_both_families_can_be_chosen_by_hand(backend: Backend) -> None:
    network = await backend.network()
    address: IPAddress = network.cidr_v6.network_address + 0xBEEF
    await wish(backend, network, "10.20.0.200", str(address))
    peer = (await backend.peers_of(network.id))[0]
    assert [str(own) for own in peer.addresses] == ["10.20.0.200", str(address)]


async def test_a_network_without_ipv4_refuses_an_ipv4_wish(backend: Backend) -> None:
    network = await backend.network(cidr_v4=None)
    with pytest.raises(InvalidValue, match="no IPv4 CIDR"):
        await wish(backend, network, "10.20.0.5")
    assert len((await backend.peer(network, "six")).addresses) == 1


async def test_a_reservation_ends_when_it_is_taken_back(backend: Backend) -> None:
    network = await backend.network()
    address = IPv4Address("10.20.0.1")
    await backend.networks.reserve(ADA, network.id, address, "printer")
    assert [item.note for item in await backend.networks.reservations(network.id)] == ["printer"]
    assert v4_of([await backend.peer(network, "one")]) == ["10.20.0.2"]
    await backend.networks.unreserve(ADA, network.id, address)
    assert v4_of([await backend.peer(network, "two")]) == ["10.20.0.1"]
    with pytest.raises(NotFound):
        await backend.networks.unreserve(ADA, network.id, address)


async def renumber(backend: Backend, network: Network, cidr: str | None, *, force: bool = False) -> networks.Updated:
    return await backend.networks.update(ADA, network.id, networks.Update(cidr_v4=cidr, force=force), None)


async def test_another_cidr_keeps_host_parts_and_names_the_configs_to_hand_out_again(backend: Backend) -> None:
    network = await backend.network()
    await backend.networks.reserve(ADA, network.id, IPv4Address("10.20.0.1"), "router")
    one, phone = await backend.peer(network, "one"), await backend.peer(network, "phone", Kind.STATIC)
    with pytest.raises(Exception, match="1 static peers"):
        await renumber(backend, network, "10.99.0.0/24")
    assert v4_of(await backend.peers_of(network.id)) == ["10.20.0.2", "10.20.0.3"]

    updated = await renumber(backend, network, "10.99.0.0/24", force=True)
    assert [peer.id for peer in updated.reissue] == [phone.id]
    assert v4_of(await backend.peers_of(network.id)) == ["10.99.0.2", "10.99.0.3"]
    assert [str(item.address) for item in await backend.networks.reservations(network.id)] == ["10.99.0.1"]
    assert (await backend.peer_now(one.id)).addresses[1] == one.addresses[1], "IPv6 stays"
    assert v4_of([await backend.peer(network, "next")]) == ["10.99.0.4"]


async def test_a_smaller_cidr_places_those_who_do_not_fit_at_the_lowest_free_address(backend: Backend) -> None:
    network = await backend.network()
    await backend.peer(network, "one")
    await wish(backend, network, "10.20.0.200")
    await renumber(backend, network, "10.20.1.0/29")
    assert v4_of(await backend.peers_of(network.id)) == ["10.20.1.1", "10.20.1.2"]


async def test_a_cidr_that_is_too_small_changes_nothing(backend: Backend) -> None:
    network = await backend.network()
    for number in range(7):
        await backend.peer(network, f"peer-{number}")
    before = await backend.peers_of(network.id)
    with pytest.raises(InvalidValue, match="too small for the 7 present peers"):
        await renumber(backend, network, "10.99.0.0/29")
    assert await backend.peers_of(network.id) == before
    assert v4_of([await backend.peer(network, "next")]) == ["10.20.0.8"], "the free ranges are as before"


async def test_ipv4_can_be_dropped_and_added_again(backend: Backend) -> None:
    network = await backend.network()
    peer = await backend.peer(network, "one")
    await renumber(backend, network, None)
    assert (await backend.peer_now(peer.id)).addresses == peer.addresses[1:]
    await renumber(backend, network, "10.30.0.0/24")
    assert v4_of(await backend.peers_of(network.id)) == ["10.30.0.1"]
