"""How the peers of a network reach each other now, as far as their agents say."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.jumps import jumps_in_order
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.paths import can_reach, may_go_directly
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.path_memory import PathMemory, Told, Way
from isthmus.server.ports import Store
from isthmus.server.records import Page, PeerFilter


@dataclass(frozen=True, slots=True)
class Path:
    """The way from one peer to another. `via` is the jump peer in between, None for a direct way; both `direct` and
    `via` are None where nobody in touch with the server knows.

    `since` and `round_trip` (microseconds) are of this way. `rx` and `tx`, bytes as the one peer counts them, and
    `latest_handshake` are of the tunnel between these two, whether or not it is the way now.
    """

    other: Peer
    direct: bool | None = None
    via: Peer | None = None
    since: datetime | None = None
    round_trip: int | None = None
    rx: int | None = None
    tx: int | None = None
    latest_handshake: datetime | None = None


@dataclass(frozen=True, slots=True)
class PathPage:
    """`last` is the last peer that was looked at, reachable or not; None when there are no more."""

    paths: Sequence[Path]
    last: PeerId | None


class PathService:
    def __init__(self, store: Store, memory: PathMemory) -> None:
        self._store = store
        self._memory = memory

    async def page(self, peer_id: PeerId, page: Page) -> PathPage:
        """The ways to the peers that `peer_id` may reach, in the order in which those were made."""
        async with self._store.reading() as tx:
            one = await tx.peers.get(peer_id)
            network = await tx.networks.get(one.network_id)
            jumps = jumps_in_order(network, await tx.peers.in_every_config(network.id))
            others = await tx.peers.page(page, PeerFilter(network.id))
        paths = [self._path(network, one, other, jumps) for other in others if can_reach(one, other)]
        return PathPage(paths, others[-1].id if len(others) == page.limit else None)

    async def primaries(self, network_ids: Iterable[NetworkId]) -> dict[NetworkId, Peer]:
        """The jump peer that carries the traffic of each of these networks, where there is one."""
        found = {}
        async with self._store.reading() as tx:
            for network_id in dict.fromkeys(network_ids):
                with contextlib.suppress(NotFound):
                    network = await tx.networks.get(network_id)
                    for primary in jumps_in_order(network, await tx.peers.in_every_config(network_id))[:1]:
                        found[network_id] = primary
        return found

    def between(self, network: Network, one: Peer, other: Peer, jumps: Sequence[Peer]) -> Path:
        """The way between two peers that reach each other, without what went over it. `jumps` are in order."""
        ours, theirs = (self._memory.live(network.id, peer.id) for peer in (one, other))
        return _way(network, one, Path(other), (ours, theirs), jumps)

    def opened(self, network: Network, seekers: Iterable[Peer]) -> Iterator[tuple[PeerId, PeerId]]:
        """The pairs of `seekers` between which an agent says that a direct way is open; a pair may come twice."""
        ids = {peer.id for peer in seekers}
        for one in ids:
            told = self._memory.live(network.id, one)
            for other, way in () if told is None else told.ways.items():
                if way.via is None and other in ids:
                    yield (one, other) if one < other else (other, one)

    def _path(self, network: Network, one: Peer, other: Peer, jumps: Sequence[Peer]) -> Path:
        ours, theirs = (self._memory.live(network.id, peer.id) for peer in (one, other))
        return _way(network, one, _counted(Path(other), ours, theirs, one), (ours, theirs), jumps)


def _way(network: Network, one: Peer, path: Path, told: tuple[Told | None, Told | None], jumps: Sequence[Peer]) -> Path:
    """`path` with the way to its end, by what the agents of both ends `told`."""
    ours, theirs = told
    said = _said(ours, path.other) or _said(theirs, one)
    if one.is_jump or path.other.is_jump:
        return _measured(replace(path, direct=True), said)
    if may_go_directly(network, one, path.other):
        if said is not None and said.via is None:
            return _measured(replace(path, direct=True), said)
        if ours is None and theirs is None:
            return path
    return _measured(_via(path, ours or theirs, jumps), said)


def _said(told: Told | None, far: Peer) -> Way | None:
    """What an agent says of its way to `far`."""
    return None if told is None else told.ways.get(far.id)


def _measured(path: Path, way: Way | None) -> Path:
    if way is None:
        return path
    return replace(path, since=way.since, round_trip=way.round_trip)


def _via(path: Path, told: Told | None, jumps: Sequence[Peer]) -> Path:
    """Through the jump peer that the agent says it uses, else through the one that configs say."""
    in_use = next((jump for jump in jumps if told is not None and jump.id == told.uses), None)
    if in_use is not None and told is not None:
        return replace(path, direct=False, via=in_use, since=told.uses_since)
    return replace(path, direct=False, via=jumps[0]) if jumps else path


def _counted(path: Path, ours: Told | None, theirs: Told | None, one: Peer) -> Path:
    """What either side's interface shows of the tunnel between the two: what the other sent, the one received."""
    near = None if ours is None else ours.seen.get(path.other.id)
    far = None if theirs is None else theirs.seen.get(one.id)
    if near is not None:
        return replace(path, rx=near.rx, tx=near.tx, latest_handshake=near.latest_handshake)
    if far is not None:
        return replace(path, rx=far.tx, tx=far.rx, latest_handshake=far.latest_handshake)
    return path
