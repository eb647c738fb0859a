"""What the next heartbeat reports: the host and where it is found when that is news, ways that packets now take, what
passed by bridges, and the neighbours that changed, the urgent first, then the longest unreported."""

from collections.abc import Iterable

from isthmus.protocol.agent import MAX_FLOWS, MAX_PATHS, MAX_REPORTS, FlowReport, Host, PathReport, PeerReport
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState

MAX_MEASURED = 16
NOISE_MICROSECONDS = 1_000
"""A round trip that differs by less, or by less than a quarter, is the same."""


class Reports:
    """What the server knows of the interface's neighbours, as far as it acknowledged it."""

    def __init__(self) -> None:
        self._known: dict[PublicKey, tuple[PeerState, int]] = {}
        self._sent: list[PeerState] = []
        self._known_host: Host | None = None
        self._sent_host: Host | None = None
        self._known_candidates: tuple[str, ...] | None = None
        self._sent_candidates: tuple[str, ...] = ()
        self._known_paths: dict[str, PathReport] = {}
        self._sent_paths: list[PathReport] = []
        self._known_flows: dict[tuple[str, str], tuple[FlowReport, int]] = {}
        self._sent_flows: tuple[FlowReport, ...] = ()
        self._beat = 0

    def forget(self) -> None:
        """A new session: the server may know nothing any more."""
        self._known.clear()
        self._sent.clear()
        self._known_host = None
        self._known_candidates = None
        self._known_paths.clear()
        self._sent_paths = []
        self._known_flows.clear()
        self._sent_flows = ()

    def forget_host(self) -> None:
        """The next heartbeat tells of the host again."""
        self._known_host = None

    def draw(self, state: InterfaceState) -> tuple[PeerReport, ...]:
        """At most MAX_REPORTS reports for one heartbeat; the others follow with the next ones."""
        for gone in self._known.keys() - state.peers.keys():
            del self._known[gone]
        changed = [peer for peer in state.peers.values() if self._differs(peer)]
        changed.sort(key=lambda peer: (not self._is_urgent(peer), self._reported_at(peer), peer.public_key))
        self._sent = changed[:MAX_REPORTS]
        return tuple(map(_report, self._sent))

    def draw_host(self, host: Host) -> Host | None:
        """`host` for one heartbeat, unless the server knows it."""
        self._sent_host = host
        return None if host == self._known_host else host

    def draw_candidates(self, candidates: tuple[str, ...]) -> tuple[str, ...] | None:
        """`candidates` for one heartbeat, unless the server knows them."""
        self._sent_candidates = candidates
        return None if candidates == self._known_candidates else candidates

    def draw_paths(self, paths: Iterable[PathReport]) -> tuple[PathReport, ...]:
        """At most MAX_PATHS of the ways that changed, moves before round trips, of which MAX_MEASURED go along."""
        changed = [path for path in paths if self._is_other_path(path)]
        moved = [path for path in changed if self._has_moved(path)]
        measured = [path for path in changed if not self._has_moved(path)][:MAX_MEASURED]
        self._sent_paths = [*moved, *measured][:MAX_PATHS]
        return tuple(self._sent_paths)

    def draw_flows(self, flows: Iterable[FlowReport]) -> tuple[FlowReport, ...]:
        """At most MAX_FLOWS of those that have moved on, the longest unreported first."""
        present = {(flow.bridge, flow.flow): flow for flow in flows}
        self._known_flows = {key: known for key, known in self._known_flows.items() if key in present}
        never = (None, -1)
        told = {key: self._known_flows.get(key, never) for key in present}
        changed = [key for key, flow in present.items() if told[key][0] != flow]
        changed.sort(key=lambda key: (told[key][1], key))
        self._sent_flows = tuple(present[key] for key in changed[:MAX_FLOWS])
        return self._sent_flows

    def has_moved(self, paths: Iterable[PathReport]) -> bool:
        """Whether packets take some way that the server does not know of."""
        return any(map(self._has_moved, paths))

    def accepted(self) -> None:
        """The server acknowledged the heartbeat that carried the last draw."""
        self._beat += 1
        self._known_host = self._sent_host
        self._known_candidates = self._sent_candidates
        self._known_paths.update((path.public_key, path) for path in self._sent_paths)
        self._sent_paths = []
        self._known_flows.update(((flow.bridge, flow.flow), (flow, self._beat)) for flow in self._sent_flows)
        self._sent_flows = ()
        for peer in self._sent:
            self._known[peer.public_key] = (peer, self._beat)
        self._sent = []

    def is_urgent(self, state: InterfaceState) -> bool:
        """Whether some neighbour has another endpoint than the server knows."""
        return any(map(self._is_urgent, state.peers.values()))

    def _has_moved(self, path: PathReport) -> bool:
        known = self._known_paths.get(path.public_key)
        return known is None or (known.via, known.since) != (path.via, path.since)

    def _is_other_path(self, path: PathReport) -> bool:
        known = self._known_paths.get(path.public_key)
        if known is None or self._has_moved(path):
            return True
        differs = abs(path.round_trip - known.round_trip)
        return differs > max(NOISE_MICROSECONDS, known.round_trip // 4) or (not known.round_trip and differs > 0)

    def _differs(self, peer: PeerState) -> bool:
        before = self._known.get(peer.public_key)
        if before is None:
            return _report(peer) != PeerReport(str(peer.public_key))
        known = before[0]
        return (peer.endpoint, peer.latest_handshake) != (known.endpoint, known.latest_handshake)

    def _is_urgent(self, peer: PeerState) -> bool:
        known = self._known.get(peer.public_key)
        # An endpoint that never had a handshake is only what the config says.
        return peer.latest_handshake is not None and peer.endpoint != (known[0].endpoint if known else None)

    def _reported_at(self, peer: PeerState) -> int:
        known = self._known.get(peer.public_key)
        return known[1] if known else 0


def _report(peer: PeerState) -> PeerReport:
    return PeerReport(
        public_key=str(peer.public_key),
        endpoint=None if peer.endpoint is None else str(peer.endpoint),
        latest_handshake=peer.latest_handshake or 0,
        rx=peer.rx,
        tx=peer.tx,
    )
