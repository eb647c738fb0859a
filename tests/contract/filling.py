"""Puts things into a store, with the addresses and rows that belong to them."""

from collections.abc import Iterable
from uuid import UUID

from isthmus.domain.addresses import family_of
from isthmus.domain.mesh.ipam import free_ranges
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.ports import Store, Transaction
from isthmus.server.records import ApiToken, Held, Holding, User
from tests.builders import NOON, a_digest, a_network

ADA = User(UUID(int=501), "ada", "$argon2id$v=19$…", NOON)  # type: ignore[arg-type]


def a_token_of(user: User, number: int) -> ApiToken:
    return ApiToken(
        id=UUID(int=number),  # type: ignore[arg-type]
        user_id=user.id,
        name=f"token-{number}",
        digest=a_digest(f"api {number}"),
        prefix="ist_api_",
        scopes=frozenset({"read", "write"}),
        created_at=NOON,
        expires_at=None,
    )


async def put_network(store: Store, network: Network | None = None) -> Network:
    """A network with all its addresses free."""
    network = network or a_network()
    async with store.transaction() as tx:
        await tx.networks.lock_all()
        await tx.networks.add(network)
        for cidr in network.cidrs:
            await tx.holdings.reset_free(network.id, family_of(cidr), free_ranges(cidr, []))
    return network


async def add_peer(tx: Transaction, peer: Peer) -> None:
    """The peer, holding its addresses."""
    for address in peer.addresses:
        await tx.holdings.hold(Holding(peer.network_id, address, Held.PEER, peer.id))
    await tx.peers.add(peer)


async def put_peers(store: Store, peers: Iterable[Peer]) -> None:
    async with store.transaction() as tx:
        for peer in peers:
            await add_peer(tx, peer)
