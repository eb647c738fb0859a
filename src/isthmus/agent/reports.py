"""What the next heartbeat reports: the host when it is news, and the neighbours that changed, the urgent first, then
the longest unreported."""

from isthmus.protocol.agent import MAX_REPORTS, Host, PeerReport
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState


class Reports:
    """What the server knows of the interface's neighbours, as far as it acknowledged it."""

    def __init__(self) -> None:
        self._known: dict[PublicKey, tuple[PeerState, int]] = {}
        self._sent: list[PeerState] = []
        self._known_host: Host | None = None
        self._sent_host: Host | None = None
        self._beat = 0

    def forget(self) -> None:
        """A new session: the server may know nothing any more."""
        self._known.clear()
        self._sent.clear()
        self._known_host = None

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

    def accepted(self) -> None:
        """The server acknowledged the heartbeat that carried the last draw."""
        self._beat += 1
        self._known_host = self._sent_host
        for peer in self._sent:
            self._known[peer.public_key] = (peer, self._beat)
        self._sent = []

    def is_urgent(self, state: InterfaceState) -> bool:
        """Whether some neighbour has another endpoint than the server knows."""
        return any(map(self._is_urgent, state.peers.values()))

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
