"""A world in memory: agents that plan their ways, WireGuard as far as it answers, and NATs of all kinds between them.

It moves in ticks. What an agent decides is carried out on its interface as the real applier does it.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from isthmus.agent.desired import Desired
from isthmus.agent.observed import HostState
from isthmus.agent.paths import Paths
from isthmus.agent.plan import plan_of_ways
from isthmus.agent.pulse import Moment
from isthmus.domain.addresses import Endpoint, IPAddress
from isthmus.protocol.agent import Neighbour
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from lab import NatKind
from tests.agent.builders import a_gateway, a_key, a_target, carried_out, desired

TICK = 0.1
START = 1_700_000_000.0
INIT, RESPONSE, KEEPALIVE, DATA = 148, 92, 32, 128
RETRY = 5.0
REKEY = 120.0
CALM = 2.0
OWN_PORT = 4000


@dataclass
class Nat:
    """`kind` None is a public host. What was sent opens the way back, by kind."""

    kind: NatKind | None
    address: str
    ports: dict[Endpoint | None, int] = field(default_factory=dict)
    asked: set[tuple[int, Endpoint]] = field(default_factory=set)

    def leaves_as(self, target: Endpoint) -> Endpoint:
        key = target if self.kind is NatKind.SYMMETRIC else None
        port = self.ports.setdefault(key, 40_000 + len(self.ports) if self.kind else OWN_PORT)
        self.asked.add((port, target))
        return Endpoint(self.address, port)

    def lets_in(self, source: Endpoint, port: int) -> bool:
        if self.kind is None:
            return port == OWN_PORT
        if port not in self.ports.values():
            return False
        asked = {endpoint for each, endpoint in self.asked if each == port}
        match self.kind:
            case NatKind.FULL_CONE:
                return True
            case NatKind.RESTRICTED:
                return source.host in {endpoint.host for endpoint in asked}
        return source in asked


@dataclass
class Side:
    """One agent. By key: when it last began a handshake, when one was last complete, when its last keepalive was."""

    number: int
    nat: Nat
    paths: Paths = field(init=False)
    config: Desired = field(init=False)
    interface: InterfaceState = field(init=False)
    sessions: set[PublicKey] = field(default_factory=set)
    sent: dict[PublicKey, float] = field(default_factory=dict)
    shaken: dict[PublicKey, float] = field(default_factory=dict)
    kept_alive: dict[PublicKey, float] = field(default_factory=dict)
    greets: list[PublicKey] = field(default_factory=list)
    round_trips: dict[IPAddress, int] = field(default_factory=dict)
    looked_at: float = 0.0
    lost: int = 0

    def __post_init__(self) -> None:
        self.key = PublicKey.parse(a_key(1000 + self.number))
        self.paths = Paths()
        self.interface = InterfaceState(None, 0, 0, {})

    @property
    def v4(self) -> str:
        return f"10.20.0.{self.number}"

    def as_direct(self) -> Neighbour:
        seen = Endpoint(self.nat.address, OWN_PORT) if self.nat.kind is None else self.nat.leaves_as(JUMP)
        candidates = dict.fromkeys((f"192.168.{self.number}.10:{OWN_PORT}", str(seen)))
        return Neighbour(
            f"peer-{self.number}",
            str(self.key),
            (),
            "direct",
            keepalive=25,
            candidates=tuple(candidates),
            takes=(f"{self.v4}/32", f"fd00:20::{self.number:x}/128"),
        )

    def become(self, wanted: Desired) -> None:
        """Carry out what the applier would for a change of ways."""
        before = set(self.interface.peers)
        steps = plan_of_ways(wanted, self.interface, a_target()).steps
        host = carried_out(steps, HostState(wireguard=self.interface))
        assert host.wireguard is not None
        was = self.interface.peers
        self.interface = host.wireguard
        for gone in before - set(self.interface.peers):
            self.sessions.discard(gone)
            self.sent.pop(gone, None)
        for key, peer in self.interface.peers.items():
            if peer.keepalive and not (key in was and was[key].keepalive):
                self.greets.append(key)

    def count(self, key: PublicKey, *, rx: int = 0, tx: int = 0) -> None:
        peer = self.interface.peers[key]
        self.change(key, replace(peer, rx=peer.rx + rx, tx=peer.tx + tx))

    def change(self, key: PublicKey, peer: PeerState) -> None:
        self.interface = replace(self.interface, peers={**self.interface.peers, key: peer})

    def carrier(self, address: str) -> PublicKey:
        """The neighbour that a packet to `address` goes to, by the longest prefix."""
        target = IPv4Address(address)
        found = [
            (prefix.prefixlen, key)
            for key, peer in self.interface.peers.items()
            for prefix in peer.allowed_ips
            if prefix.version == 4 and target in prefix
        ]
        return max(found)[1]


JUMP = Endpoint("198.51.100.7", 51820)
JUMP_KEY = PublicKey.parse(a_key(1))


class World:
    """`cut` loses what goes between the sides without the jump peer."""

    def __init__(self, *kinds: NatKind | None) -> None:
        self.now = Moment(1000.0, START)
        self.cut = False
        self.sides = [Side(number, Nat(kind, f"203.0.113.{number}")) for number, kind in enumerate(kinds, start=2)]
        offered = {side.number: side.as_direct() for side in self.sides}
        for side in self.sides:
            others = [each for number, each in offered.items() if number != side.number]
            side.config = desired(a_gateway(), *others, addresses=(side.v4, f"fd00:20::{side.number:x}"))
            side.become(side.paths.follow(side.config, None, self.now, side.key))

    def run(self, seconds: float, *, talk: bool = False) -> None:
        for _ in range(round(seconds / TICK)):
            self.tick(talk=talk)

    def tick(self, *, talk: bool = False) -> None:
        self.now = Moment(self.now.mono + TICK, self.now.unix + TICK)
        for side in self.sides:
            if side.paths.is_searching(self.now) or self.now.mono - side.looked_at >= CALM:
                self._look(side)
            self._wireguard(side)
            if talk:
                for other in self.sides:
                    if other is not side:
                        side.lost += not self._talk(side, other)

    def _look(self, side: Side) -> None:
        side.looked_at = self.now.mono
        answers, side.round_trips = side.round_trips, {}
        for wanted in side.paths.step(side.interface, self.now, answers):
            side.become(wanted)
        for address in side.paths.probes(self.now):
            self._probe(side, address)

    def side_of(self, key: PublicKey) -> Side | None:
        return next((side for side in self.sides if side.key == key), None)

    def _wireguard(self, side: Side) -> None:
        """Handshakes that are due, and keepalives where one was turned on."""
        for key, peer in list(side.interface.peers.items()):
            other = self.side_of(key)
            if other is None or peer.endpoint is None:
                continue
            is_due = self.now.mono - side.sent.get(key, -RETRY) >= RETRY
            is_old = self.now.mono - side.shaken.get(key, -REKEY) >= REKEY
            if peer.keepalive and (key not in side.sessions or is_old) and is_due:
                side.sent[key] = self.now.mono
                self._shake(side, other, peer.endpoint)
                continue
            is_kept = self.now.mono - side.kept_alive.get(key, 0) < peer.keepalive
            if peer.keepalive and key in side.sessions and (key in side.greets or not is_kept):
                side.kept_alive[key] = self.now.mono
                self._send(side, other, KEEPALIVE)
        side.greets.clear()

    def _shake(self, side: Side, other: Side, target: Endpoint) -> None:
        side.count(other.key, tx=INIT)
        source = side.nat.leaves_as(target)
        if not self._arrives(source, target, other) or side.key not in other.interface.peers:
            return
        # The answer goes back to where it came from, and makes a hole of its own.
        other.nat.leaves_as(source)
        if not self._arrives(target, source, side):
            return
        for here, there, seen, rx, tx in ((side, other, target, RESPONSE, 0), (other, side, source, INIT, RESPONSE)):
            peer = replace(here.interface.peers[there.key], endpoint=seen, latest_handshake=int(self.now.unix))
            here.change(there.key, peer)
            here.count(there.key, rx=rx, tx=tx)
            here.sessions.add(there.key)
            here.shaken[there.key] = self.now.mono
        self._send(side, other, KEEPALIVE)

    def _arrives(self, source: Endpoint, target: Endpoint, other: Side) -> bool:
        return not self.cut and target.host == other.nat.address and other.nat.lets_in(source, target.port)

    def _send(self, side: Side, other: Side, size: int) -> bool:
        """One packet under a session; whether the other still has it too, and hears."""
        side.count(other.key, tx=size)
        if self.cut or other.key not in side.sessions or side.key not in other.sessions:
            return False
        other.count(side.key, rx=size)
        return True

    def _probe(self, side: Side, address: IPAddress) -> None:
        other = next((each for each in self.sides if each.v4 == str(address)), None)
        if other is not None and self._talk(side, other):
            side.round_trips[address] = 20_000

    def _talk(self, side: Side, other: Side) -> bool:
        """Whether a request and its answer arrive, each by the way that its sender has chosen."""
        return self._packet(side, other) and self._packet(other, side)

    def _packet(self, side: Side, other: Side) -> bool:
        """The receiver drops what comes by another way than it sends: allowed IPs are its source filter."""
        carrier, expected = side.carrier(other.v4), other.carrier(side.v4)
        if carrier == JUMP_KEY:
            return expected == JUMP_KEY
        return self._send(side, other, DATA) and expected == side.key
