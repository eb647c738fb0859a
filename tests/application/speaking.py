"""Agents of an application test: what they say, from where, and how their clocks and machines are called."""

from dataclasses import dataclass, field

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol import agent as wire
from isthmus.server.application.agents import Conversation
from tests.application.backend import Backend

HANDSHAKE = 1_700_000_000


def a_host(machine: str = "laptop", boot: str = "boot-1", started_at: int = 1_700_000_060) -> wire.Host:
    return wire.Host("host", machine, boot, "0", 1_700_000_000, started_at)


def saw(peer: Peer, endpoint: str | None, handshake: int = HANDSHAKE) -> wire.PeerReport:
    return wire.PeerReport(peer.public_key or "", endpoint, handshake)


@dataclass
class Voice:
    """One process with a peer's session; each `beat` takes a fresh nonce as an agent without a stream does."""

    backend: Backend
    peer_id: PeerId
    source: str | None = "198.51.100.9"
    host: wire.Host = field(default_factory=a_host)

    async def beat(self, *peers: wire.PeerReport, nonce: str | None = None) -> str:
        agents = self.backend.agents
        await agents.admit(self.peer_id)
        fresh = agents.fresh_nonce(self.peer_id) if nonce is None else nonce
        beat = wire.Heartbeat(fresh, 0, self.host, peers)
        return await agents.heartbeat(self.peer_id, beat, Conversation.began(self.source))
