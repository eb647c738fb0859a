"""What other use cases need of bridges: that they end with their remote, keep their network, and whose prefixes are."""

from datetime import datetime
from typing import Any

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bridge import Action, Bridge, State
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.prefixes import Taken
from isthmus.domain.federation.remote import Remote
from isthmus.domain.mesh.network import Network
from isthmus.server.application.caller import Caller
from isthmus.server.ports import Transaction

REMOTE_ENDED = "the remote was revoked"


async def end_bridges(tx: Transaction, remote: Remote, now: datetime, by: Caller) -> None:
    """Revoke what is left of the bridges of a remote that ends in this transaction, each with a row of its own. The
    other side is not told of each: the remote's own end says it."""
    for bridge in await tx.bridges.of_remote(remote.domain):
        if bridge.state is not State.REVOKED:
            after = bridge.after(Action.REVOKE, now, reason=REMOTE_ENDED)
            await tx.bridges.save(after)
            await tx.journal.audit([by.did("bridge.revoke", bridge.id, now, **told_of(after))])


async def check_unbridged(tx: Transaction, network: Network) -> None:
    """Raises `TransitionNotAllowed` while a locked network has bridges."""
    bridges = await tx.bridges.of_network(network.id)
    if bridges:
        remotes = ", ".join(sorted({bridge.remote for bridge in bridges}))
        raise TransitionNotAllowed(network.name, f"has bridges with {remotes}", "isthmus bridge revoke them first")


async def prefixes_taken(tx: Transaction, but: BackendDomain) -> list[Taken]:
    """Whose prefixes a remote cannot have: ours, those behind our peers, and what other remotes were let in with."""
    networks = await tx.networks.all()
    ula = await tx.backend.ula()
    found = [] if ula is None else [Taken(ula, "the prefix of this backend")]
    for network in networks:
        found += [Taken(cidr, f"our network {network.name}") for cidr in network.cidrs]
        found += [Taken(cidr, f"which our peer {name} offers") for _, name, cidr in await tx.peers.offers(network.id)]
    for bridge in await tx.bridges.all_live():
        if bridge.remote != but:
            found += [Taken(prefix, "which is another remote's") for prefix in bridge.accepted]
    return found


def told_of(bridge: Bridge) -> dict[str, Any]:
    """What the audit row of a change tells of the bridge."""
    there = None if bridge.theirs is None else bridge.theirs.state.value
    facts = {"remote": bridge.remote, "generation": bridge.generation, "state": bridge.state.value, "there": there}
    network = {} if bridge.network_id is None else {"network_id": str(bridge.network_id)}
    return facts | network | ({"reason": bridge.reason} if bridge.reason else {})
