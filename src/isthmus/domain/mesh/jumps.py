"""Which jump peer carries a network's traffic, when it counts as dead, and who takes its place.

A jump peer whose agent is cut off from the server may forward as well as ever. So its silence alone proves nothing:
the agents that send through it say whether it still does.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.crossing import Crossing, Crossings
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import in_order

# Two heartbeats' time. One that got lost makes a jump peer suspect for a moment, and no more than that.
SILENT_SECONDS = 30.0
# After so long WireGuard gives a session up (REJECT_AFTER_TIME); a tunnel in use renews it every two minutes.
LOST_SECONDS = 180.0
# A jump peer that lost the traffic does not get it back for so long, as long as there is another one.
STAY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Witness:
    """What the agent of a regular peer, itself in touch with the server, says of a jump peer.

    `handshake_age`: seconds since their last handshake, None = there was none. `uses`: the jump peer that it sends
    through, None = it did not say.
    """

    handshake_age: float | None = None
    uses: PeerId | None = None


def jumps_in_order(network: Network, peers: Iterable[Peer]) -> list[Peer]:
    """The jump peers that stand in configs: the primary first, then the standby ones."""
    return in_order(network, (peer for peer in peers if peer.is_jump and peer.is_listed))


def held_by(network: Network, peers: Iterable[Peer], bridges: Iterable[Crossing]) -> Crossings:
    """The crossings of a network with the jump peer that holds them: the one that carries its traffic."""
    jumps = jumps_in_order(network, peers)
    return Crossings(jumps[0].id if jumps else None, tuple(bridges))


def is_dead(jump: PeerId, silence: float, witnesses: Iterable[Witness]) -> bool:
    """Whether `jump`, silent for so many seconds, has stopped forwarding.

    More witnesses must have left or lost it than have just shaken hands with it: so neither one host behind a broken
    link nor one that lies moves a network or keeps it where it is. Without a witness nobody is worse off.
    """
    if silence <= SILENT_SECONDS:
        return False
    against, for_it = 0, 0
    for witness in witnesses:
        has_left = witness.uses is not None and witness.uses != jump
        if witness.handshake_age is not None and witness.handshake_age <= SILENT_SECONDS:
            for_it += 1
        elif has_left or witness.handshake_age is None or witness.handshake_age > LOST_SECONDS:
            against += 1
    return against > for_it


def heir(
    standby: Sequence[Peer],
    live: Collection[PeerId],
    used: Collection[PeerId],
    deposed: Collection[PeerId],
) -> Peer | None:
    """Who takes over: the first of `standby` that is `live` and was not `deposed` of late; else a live one; else one
    that agents say they have `used` since, however silent its own agent is. None: everything stays as it is."""
    choices = (
        [jump for jump in standby if jump.id in live and jump.id not in deposed],
        [jump for jump in standby if jump.id in live],
        [jump for jump in standby if jump.id in used],
    )
    return next((jumps[0] for jumps in choices if jumps), None)
