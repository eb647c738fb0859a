"""One change of one peer becomes its network's next revision: counted, logged, and told with its audience."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.crossing import Crossing
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer, audience_of
from isthmus.server.application.past import network_state, peer_state, renumbered_state
from isthmus.server.crossing_records import BRIDGE_CHANGED, crossing_state
from isthmus.server.ports import Transaction
from isthmus.server.records import Change, Commit


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one peer; None stands for a peer that does not exist."""

    event: str
    subject: PeerId
    before: Peer | None
    after: Peer | None


async def advance(tx: Transaction, network: Network, step: Step, now: datetime) -> Commit:
    """Write the next revision of `network`, which is locked, and return what to tell once it is committed.

    The commit holds the network and the peer at that revision; to write the peer is the caller's part.
    """
    had_direct_paths = network.has_direct_paths
    is_primary_gone = step.after is None and network.primary_id == step.subject
    network = replace(
        network,
        agents=network.agents + _is_agent(step.after) - _is_agent(step.before),
        primary_id=None if is_primary_gone else network.primary_id,
    )
    audience = audience_of(step.before, step.after, direct=had_direct_paths)
    if network.has_direct_paths != had_direct_paths:
        audience = Audience.EVERYONE
    network = network.advanced(jumps=audience is not Audience.NOBODY, shared=audience is Audience.EVERYONE)
    await tx.networks.save(network)
    keys = tuple(dict.fromkeys(peer.public_key for peer in (step.before, step.after) if peer and peer.public_key))
    state = None if step.after is None else peer_state(step.after)
    await tx.journal.append(Change(network.id, network.revision, step.event, step.subject, audience, now, keys, state))
    commit = Commit(network.id, network, audience=audience, event=step.event, subject=step.subject)
    if step.after is None:
        return replace(commit, removed=(step.subject,), ended=(step.subject,))
    return replace(commit, changed=(replace(step.after, revision=network.revision),))


async def advance_bridge(
    tx: Transaction, network: Network, told: tuple[UUID, Crossing | None], now: datetime, *, everyone: bool
) -> Commit:
    """The same for a bridge and its crossing, None where it has none any more. The gateway is among the jump peers;
    `everyone` hears of it where other prefixes are reached than before."""
    bridge_id, crossing = told
    audience = Audience.EVERYONE if everyone else Audience.JUMPS
    network = network.advanced(jumps=True, shared=everyone)
    await tx.networks.save(network)
    state = None if crossing is None else crossing_state(crossing)
    await tx.journal.append(Change(network.id, network.revision, BRIDGE_CHANGED, bridge_id, audience, now, state=state))
    return Commit(
        network.id,
        network,
        audience=audience,
        crossings={bridge_id: crossing},
        event=BRIDGE_CHANGED,
        subject=bridge_id,
    )


async def log_network(
    tx: Transaction, network: Network, event: str, now: datetime, *, renumbered: Iterable[Peer] | None = None
) -> None:
    """Log that fields of the network itself changed at its present revision; `renumbered` are its peers, if all of
    them got other addresses."""
    state = network_state(network) if renumbered is None else renumbered_state(network, renumbered)
    change = Change(network.id, network.revision, event, network.id, Audience.EVERYONE, now, state=state)
    await tx.journal.append(change)


def _is_agent(peer: Peer | None) -> bool:
    return peer is not None and peer.kind is Kind.DYNAMIC
