"""What agents report in tests, and the clock and the chores that go on meanwhile."""

from datetime import timedelta
from typing import Any

from isthmus.domain.mesh.peer import Peer
from isthmus.protocol import agent as wire
from tests.application.backend import Backend


def on(peer: Peer, endpoint: str | None = None, **fields: Any) -> wire.PeerReport:
    """What an interface shows of `peer`."""
    assert peer.public_key is not None
    return wire.PeerReport(peer.public_key, endpoint, **fields)


def to(peer: Peer, since: int = 1_770_000_000, via: Peer | None = None, round_trip: int = 0) -> wire.PathReport:
    """How an agent says that it reaches `peer`."""
    assert peer.public_key is not None
    return wire.PathReport(peer.public_key, since, (via.public_key or "") if via else "", round_trip)


def unix(backend: Backend, ago: float = 0) -> int:
    return int((backend.clock.now() - timedelta(seconds=ago)).timestamp())


async def let_pass(backend: Backend, seconds: float, step: float = 0.5) -> None:
    """Turn the clock on, with the server's chores at work."""
    for _ in range(round(seconds / step)):
        backend.clock.turn(timedelta(seconds=step))
        await backend.endpoints.work()
        await backend.jumps.work()
