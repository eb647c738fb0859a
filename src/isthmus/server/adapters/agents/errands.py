"""What a server asks of an agent beside its config: to make a new key, to use a fresh session token."""

import random
from collections.abc import Iterable, Iterator

from isthmus.domain.ids import NetworkId, PeerId
from isthmus.protocol import agent as wire
from isthmus.server.application.keys import KeyService
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.application.sessions import SessionService
from isthmus.server.ports import Presence

ASKED_SHARE = 1000
"""One in so many connected agents of a network, or one, is asked for a new key in one look: two that change their keys
at the same moment have to find each other anew, and each key is a change that others hear of."""


class Errands:
    """Asking twice does no harm, so nothing is remembered here of what was asked."""

    def __init__(self, keys: KeyService, sessions: SessionService, mesh: MeshMemory) -> None:
        self.keys = keys
        self._sessions = sessions
        self._mesh = mesh

    async def of(self, peer_id: PeerId, presence: Presence) -> tuple[wire.FromServer, ...]:
        """What is to be asked of one peer's agent at this moment."""
        asked: list[wire.FromServer] = []
        if await self.keys.is_wanted(peer_id, presence):
            asked.append(wire.Rotate())
        if token := await self._sessions.renewed(peer_id):
            asked.append(wire.SessionToken(token))
        return tuple(asked)

    def aged(self, network_id: NetworkId, connected: Iterable[PeerId]) -> list[PeerId]:
        """Few of the connected peers of a network whose keys are too old, drawn by lot; a jump peer alone."""
        memory = self._mesh.known(network_id)
        if memory is None or not memory.network.key_max_age:
            return []
        present = set(connected)
        due = sorted(present.intersection(self.keys.too_old(memory)))
        drawn = random.SystemRandom().sample(due, min(max(1, len(present) // ASKED_SHARE), len(due)))
        jumps = [peer_id for peer_id in drawn if memory.peers[peer_id].is_jump]
        return jumps[:1] or drawn

    def pending(self, network_id: NetworkId, connected: Iterable[PeerId]) -> Iterator[PeerId]:
        """The connected peers with a wish of an operator that is not fulfilled, or with a token that is due."""
        memory = self._mesh.known(network_id)
        for peer_id in connected:
            peer = None if memory is None else memory.peers.get(peer_id)
            if (peer is not None and peer.rekey_asked_at is not None) or self._sessions.is_due(peer_id):
                yield peer_id
