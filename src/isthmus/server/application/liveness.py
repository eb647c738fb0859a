"""Who is there: signs of life as they come in, and a notice when a peer's state has changed by them or by silence.

Kept in memory alone. After a restart every agent reports again; until then the state is unknown.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh import liveness as rules
from isthmus.domain.mesh.liveness import Liveness, Signs, State
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol.notice import LIVENESS, Notice
from isthmus.server.application.notices import notice
from isthmus.server.ports import Clock, Store
from isthmus.server.records import Commit, PeerStatus

Tell = Callable[[Notice], None]


@dataclass(slots=True)
class _Heard:
    """A peer that gave signs of life, each `good_for` a while; `told` is the state that the last notice named."""

    network_id: NetworkId
    signs: Signs
    good_for: timedelta
    told: State
    has_agent: bool

    def state(self, now: datetime) -> State:
        silence = now - self.signs.last
        if silence <= self.good_for:
            return State.ONLINE
        return State.STALE if silence <= rules.OFFLINE_AFTER else State.OFFLINE


class LivenessService:
    """`hear` and `observe` take signs of life, `tick` notices silence. One entry per peer that was ever heard."""

    def __init__(self, store: Store, clock: Clock, tell: Tell) -> None:
        self._store = store
        self._clock = clock
        self._tell = tell
        self._since = clock.now()
        self._heard: dict[PeerId, _Heard] = {}
        self._revisions: dict[NetworkId, int] = {}
        self._observed: dict[NetworkId, datetime] = {}
        # When those who never spoke since the start become stale, and offline.
        self._turns = [self._since + rules.STALE_AFTER, self._since + rules.OFFLINE_AFTER]

    def hear(self, network: Network, peer: Peer, now: datetime) -> None:
        """The agent of `peer` has spoken."""
        if peer.is_jump:
            self._observed[network.id] = now
        self._sign(network, peer, now, rules.STALE_AFTER)

    def observe(self, network: Network, peer: Peer, handshake: datetime | None) -> None:
        """A jump peer has seen a handshake of `peer`, at `handshake` by its own clock."""
        now = self._clock.now()
        if peer.kind.has_agent or handshake is None or now - handshake > rules.HANDSHAKE_GOOD_FOR:
            return
        # A jump peer whose clock is ahead keeps nobody alive for longer.
        self._sign(network, peer, min(handshake, now), rules.HANDSHAKE_GOOD_FOR)

    def _sign(self, network: Network, peer: Peer, at: datetime, good_for: timedelta) -> None:
        self._revisions[network.id] = network.revision
        heard = self._heard.get(peer.id)
        if heard is None:
            heard = _Heard(network.id, Signs(at, at), good_for, State.UNKNOWN, peer.kind.has_agent)
            self._heard[peer.id] = heard
        heard.signs = heard.signs.after(at, good_for)
        self._tell_of(peer.id, heard, State.ONLINE)

    def _tell_of(self, peer_id: PeerId, heard: _Heard, state: State) -> None:
        if state is heard.told:
            return
        heard.told = state
        revision = self._revisions[heard.network_id]
        self._tell(notice(str(heard.network_id), revision, f"peer.{state}", str(peer_id), self._clock.now()))

    def of(self, peer: Peer, status: PeerStatus) -> Liveness:
        """Whether `peer` is there; `status` is what is stored of it."""
        now, heard = self._clock.now(), self._heard.get(peer.id)
        signs = None if heard is None else heard.signs
        if not peer.kind.has_agent:
            return rules.of_static(signs, status.latest_handshake, self._observed.get(peer.network_id), now)
        if peer.public_key is None and status.last_seen is None:
            return Liveness(State.OFFLINE, None)
        return rules.of_agent(signs, status.last_seen, self._since, now)

    def agents(self, enrolled: int, awaited: int) -> dict[State, int]:
        """How many agents are in each state, where so many are enrolled and so many others never were."""
        now = self._clock.now()
        found = Counter(heard.state(now) for heard in self._heard.values() if heard.has_agent)
        silent = rules.of_agent(None, None, self._since, now).state
        found[silent] += max(0, enrolled - found.total())
        found[State.OFFLINE] += awaited
        return {state: found[state] for state in State}

    async def tick(self) -> None:
        """Tell of peers that fell silent; and twice after a start, of each network, that those who have not spoken
        yet are in another state."""
        now = self._clock.now()
        for peer_id, heard in self._heard.items():
            self._tell_of(peer_id, heard, heard.state(now))
        if self._turns and now > self._turns[0]:
            async with self._store.reading() as tx:
                networks = await tx.networks.all()
            del self._turns[0]
            for network in networks:
                self._tell(notice(str(network.id), network.revision, LIVENESS, str(network.id), now))

    def changed(self, commit: Commit) -> None:
        """Forget peers and networks that are gone."""
        for peer_id in commit.removed:
            self._heard.pop(peer_id, None)
        if commit.network is None:
            self._observed.pop(commit.network_id, None)
            self._revisions.pop(commit.network_id, None)
        elif commit.network_id in self._revisions:
            self._revisions[commit.network_id] = commit.network.revision
