"""Addresses inside a transaction that has locked their network: allocate, reserve, hold back, give free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from isthmus.domain.addresses import Family, IPAddress, IPNetwork, family_of
from isthmus.domain.errors import InvalidValue, NetworkExhausted, NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh import ipam
from isthmus.domain.mesh.network import Network
from isthmus.server.ports import Transaction
from isthmus.server.records import Held, Holding

QUARANTINE = timedelta(hours=1)
FIELDS = {4: "/address_v4", 6: "/address_v6"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Addresses that the operator chose by hand."""

    v4: IPAddress | None = None
    v6: IPAddress | None = None

    def of(self, cidr: IPNetwork) -> IPAddress | None:
        return self.v4 if cidr.version == 4 else self.v6


async def allocate(tx: Transaction, network: Network, peer_id: PeerId, wanted: Wanted) -> tuple[IPAddress, ...]:
    """One address of each family for a peer: the wanted one, else the lowest that is free."""
    if wanted.v4 is not None and network.cidr_v4 is None:
        raise InvalidValue(FIELDS[4], "is given, but the network has no IPv4 CIDR")
    addresses = []
    for cidr in network.cidrs:
        wish = wanted.of(cidr)
        if wish is None:
            address = await _take_lowest(tx, network.id, cidr)
        else:
            address = await _take(tx, network.id, cidr, wish, FIELDS[cidr.version])
        addresses.append(address)
    await tx.holdings.hold(*(Holding(network.id, address, Held.PEER, peer_id) for address in addresses))
    return tuple(addresses)


async def reserve(tx: Transaction, network: Network, address: IPAddress, note: str | None, now: datetime) -> Holding:
    """Keep `address` from being handed out."""
    await give_back_expired(tx, network.id, now)
    cidr = network.cidr_v4 if address.version == 4 else network.cidr_v6
    ipam.check_usable(address, cidr, "/address")
    if cidr is not None:
        await _take(tx, network.id, cidr, address, "/address")
    holding = Holding(network.id, address, Held.RESERVED, note=note)
    await tx.holdings.hold(holding)
    return holding


async def _take_lowest(tx: Transaction, network_id: NetworkId, cidr: IPNetwork) -> IPAddress:
    free = await tx.holdings.lowest_free(network_id, family_of(cidr))
    if free is None:
        raise NetworkExhausted(str(cidr))
    await tx.holdings.swap_free(network_id, [free], free.without(free.first))
    return free.first


async def _take(tx: Transaction, network_id: NetworkId, cidr: IPNetwork, address: IPAddress, field: str) -> IPAddress:
    ipam.check_usable(address, cidr, field)
    free = await tx.holdings.free_around(network_id, address)
    if free is None:
        holding = await tx.holdings.get(network_id, address)
        why = holding.held if holding else Held.PEER
        raise InvalidValue(field, f"{address} is not free ({why})", "choose another address, or leave it out")
    await tx.holdings.swap_free(network_id, [free], free.without(address))
    return address


async def unreserve(tx: Transaction, network_id: NetworkId, address: IPAddress) -> None:
    holding = await tx.holdings.get(network_id, address)
    if holding is None or holding.held is not Held.RESERVED:
        raise NotFound("reservation", str(address))
    await give_back(tx, network_id, address)


async def quarantine(tx: Transaction, network_id: NetworkId, addresses: Sequence[IPAddress], until: datetime) -> None:
    """Hold the addresses of a deleted peer back for a while, so that late packets meet nobody else."""
    for address in addresses:
        await tx.holdings.change(Holding(network_id, address, Held.QUARANTINE, until=until))


async def give_back_expired(tx: Transaction, network_id: NetworkId, now: datetime) -> None:
    for holding in await tx.holdings.expired(network_id, now):
        await give_back(tx, network_id, holding.address)


async def give_back(tx: Transaction, network_id: NetworkId, address: IPAddress) -> None:
    below, above = await tx.holdings.free_beside(network_id, address)
    whole = ipam.joined(address, below, above)
    swallowed = [part for part in (below, above) if part is not None and part.first in whole]
    await tx.holdings.drop(network_id, [address])
    await tx.holdings.swap_free(network_id, swallowed, [whole])


async def capacity(tx: Transaction, network: Network) -> list[ipam.Capacity]:
    return capacity_of(network, await tx.holdings.counts(network.id))


def capacity_of(network: Network, counts: Mapping[tuple[Family, Held], int]) -> list[ipam.Capacity]:
    """How full the network is, one entry per family: whoever tells of it, tells this. `counts` are those that are not
    free."""
    return [
        ipam.Capacity(
            cidr,
            total=ipam.usable(cidr).size,
            used=counts.get((family_of(cidr), Held.PEER), 0),
            reserved=counts.get((family_of(cidr), Held.RESERVED), 0),
            held=counts.get((family_of(cidr), Held.QUARANTINE), 0),
        )
        for cidr in network.cidrs
    ]


async def renumber(
    tx: Transaction, network: Network, old: IPNetwork | None, new: IPNetwork | None, peers: Sequence[PeerId]
) -> None:
    """Move one family of `network` to CIDR `new` (None drops the family, `old` None adds it).

    Peers and reservations keep their host part where `new` has it, other peers get the lowest free address in the
    order of `peers`. Addresses in quarantine come free: nobody has used them under their new number.
    """
    family = family_of(_either(old, new))
    held = [holding for holding in await tx.holdings.of_network(network.id) if holding.address.version == family]
    await tx.holdings.drop(network.id, [holding.address for holding in held])
    if new is None:
        await tx.holdings.reset_free(network.id, family, [])
        return
    kept = _moved_reservations(held, old, new)
    before = {holding.peer_id: holding.address for holding in held}
    wishes = [_same_host(old, new, before.get(peer)) for peer in peers]
    addresses = ipam.placed(new, wishes, [holding.address for holding in kept])
    given = [Holding(network.id, address, Held.PEER, peer) for address, peer in zip(addresses, peers, strict=True)]
    await tx.holdings.hold(*kept, *given)
    free = ipam.free_ranges(new, [holding.address for holding in (*kept, *given)])
    await tx.holdings.reset_free(network.id, family, free)


def _either(old: IPNetwork | None, new: IPNetwork | None) -> IPNetwork:
    chosen = old if new is None else new
    if chosen is None:
        raise ValueError("a family that neither was nor shall be cannot be renumbered")
    return chosen


def _same_host(old: IPNetwork | None, new: IPNetwork, address: IPAddress | None) -> IPAddress | None:
    return None if old is None or address is None else ipam.renumbered(old, new, address)


def _moved_reservations(held: Sequence[Holding], old: IPNetwork | None, new: IPNetwork) -> list[Holding]:
    moved = []
    for holding in held:
        if holding.held is Held.RESERVED:
            address = _same_host(old, new, holding.address)
            if address is None:
                raise InvalidValue(f"/cidr_v{new.version}", f"{new} has no place for the reservation {holding.address}")
            moved.append(replace(holding, address=address))
    return moved
