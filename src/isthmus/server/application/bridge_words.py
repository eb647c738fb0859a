"""What we say of our bridges: the terms that a network makes, and statements, signed and queued."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.bridge import (
    MOST_ADDRESSES,
    MOST_GATEWAYS,
    MOST_INSTANCES,
    Bridge,
    Gateway,
    State,
    Statement,
    Terms,
)
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.prefixes import lies_in
from isthmus.domain.federation.remote import Remote
from isthmus.domain.mesh.jumps import jumps_in_order
from isthmus.domain.mesh.network import Network
from isthmus.protocol import bridges as wire
from isthmus.protocol.message_key import MessageKey
from isthmus.server.application.federation_facts import no_federation
from isthmus.server.application.outbox import Letter, enqueue
from isthmus.server.application.overlays import overlay_listener
from isthmus.server.federation_records import Lane
from isthmus.server.ports import Transaction

WITHDRAWS = frozenset({State.SUSPENDED, State.REVOKED})


class SigningKeys(Protocol):
    async def message_key(self, tx: Transaction) -> MessageKey:
        """The key that signs what remotes keep of us."""


class Words:
    """Says how our side of a bridge stands."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    async def say(self, tx: Transaction, remote: Remote, bridge: Bridge, now: datetime) -> None:
        """Queue what `bridge` says now for `remote`, which this transaction has locked. What withdraws something
        overtakes the rest; each word takes the place of the one before."""
        if bridge.statement is not None and is_heard_by(bridge, remote):
            lane = Lane.TRUST_REVOCATION if bridge.state in WITHDRAWS else Lane.TRUST
            body = wire.Tell(await self.signed(tx, remote, bridge.statement))
            await enqueue(tx, remote, Letter(lane, "bridges", "tell", body, f"bridge {bridge.id}"), now)

    async def signed(self, tx: Transaction, remote: Remote, statement: Statement) -> str:
        facts = await tx.federation.get()
        if facts is None:
            raise no_federation()
        return wire.seal(statement, facts.domain, remote.domain, await self._keys.message_key(tx))


def is_heard_by(bridge: Bridge, remote: Remote) -> bool:
    """Whether `remote` is the entry that the bridge belongs to, and not at its end."""
    return bridge.remote_generation == remote.generation and remote.state.value != State.REVOKED.value


async def terms_of(tx: Transaction, network: Network, offered: Sequence[IPNetwork]) -> Terms:
    """What `network` brings into a bridge at this moment: of what our operator wants to offer what it still has, and
    its IPv6 prefix where nothing was asked for."""
    prefixes = tuple(each for each in offered if lies_in(each, network.cidrs)) if offered else (network.cidr_v6,)
    jumps = jumps_in_order(network, await tx.peers.in_every_config(network.id))
    gateways = [
        Gateway(jump.public_key, (jump.endpoint,))
        for jump in jumps
        if jump.public_key is not None and jump.endpoint is not None
    ]
    vip, port = None, None
    try:
        listener = await overlay_listener(tx, network.id)
    except NotFound:
        listener = None
    if listener is not None:
        addresses, listens = listener
        inside = [each for each in addresses if any(each in prefix for prefix in prefixes)]
        vip, port = (inside[0], listens) if inside else (None, None)
    instances = await _instances(tx, network, prefixes)
    return Terms(network.name, prefixes, tuple(gateways[:MOST_GATEWAYS]), vip, port, instances)


async def _instances(
    tx: Transaction, network: Network, prefixes: Sequence[IPNetwork]
) -> dict[InstanceId, tuple[IPAddress, ...]]:
    """Our instances that have addresses in the prefixes; those of lower ids where they are too many."""
    found: dict[InstanceId, tuple[IPAddress, ...]] = {}
    for instance, addresses in sorted((await tx.instances.addresses(network.id)).items()):
        inside = tuple(each for each in addresses if any(each in prefix for prefix in prefixes))[:MOST_ADDRESSES]
        if inside and len(found) < MOST_INSTANCES:
            found[instance] = inside
    return found
