"""Which jump peer serves: a dead one is left in time, an idle one is not, and nothing goes back and forth."""

from dataclasses import dataclass, field, replace

import pytest

from isthmus.agent.desired import Desired
from isthmus.agent.failover import Failover
from isthmus.agent.pulse import Moment
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from tests.agent.builders import a_gateway, a_key, desired

LOOK = 1.0
PROBE, ANSWER, KEEPALIVE = 128, 128, 32
FIRST, SECOND, THIRD = (PublicKey.parse(a_key(number)) for number in (1, 2, 3))


def config(*order: int) -> Desired:
    """A config whose primary is the first of `order`."""
    jumps = []
    for place, number in enumerate(order):
        own = f"10.20.0.{number}/32"
        through = ("10.20.0.0/16",) if place == 0 else ()
        role = "standby" if place else "primary"
        jumps.append(a_gateway((own, *through), name=f"gw-{number}", public_key=a_key(number), role=role))
    return desired(*jumps)


@dataclass
class Script:
    """Jump peers that answer a probe after `delay` seconds, 10 where a firewall leaves it to WireGuard, or are dead."""

    desired: Desired
    delay: float = 0.0
    failover: Failover = field(default_factory=Failover)
    now: Moment = field(default_factory=lambda: Moment(1000.0, 1_700_000_000.0))
    dead: set[PublicKey] = field(default_factory=set)
    due: dict[PublicKey, float] = field(default_factory=dict)
    probes: int = 0

    def __post_init__(self) -> None:
        peers = {key: PeerState(key, latest_handshake=1_700_000_000) for key in self.desired.jumps}
        self.state = InterfaceState(None, 0, 0, peers)
        self.failover.follow(self.desired, None, self.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK)):
            self.now = Moment(self.now.mono + LOOK, self.now.unix + LOOK)
            for key, at in list(self.due.items()):
                if self.now.mono >= at and key not in self.dead:
                    self._count(key, rx=ANSWER if not self.delay else KEEPALIVE)
                    del self.due[key]
            self.failover.step(self.state, self.now)
            for address in self.failover.probes(self.now):
                self.probes += 1
                key = next(key for key in self.desired.jumps if address in self.desired.neighbours[key].own)
                self._count(key, tx=PROBE)
                if key not in self.dead:
                    self.due.setdefault(key, self.now.mono + self.delay)

    def follow(self, *order: int) -> None:
        self.desired = config(*order)
        self.failover.follow(self.desired, None, self.now)

    def _count(self, key: PublicKey, *, rx: int = 0, tx: int = 0) -> None:
        peer = self.state.peers[key]
        peers = {**self.state.peers, key: replace(peer, rx=peer.rx + rx, tx=peer.tx + tx)}
        self.state = replace(self.state, peers=peers)


@pytest.mark.parametrize("delay", [0.0, 10.0], ids=["open", "firewalled"])
def test_an_idle_jump_peer_stays_for_it_answers_probes(delay: float) -> None:
    script = Script(config(1, 2), delay)
    script.run(1000)
    assert script.failover.serving == FIRST
    # One each ten seconds or so is what that costs.
    assert script.probes <= 1000 / 7 * (3 if delay else 1)


@pytest.mark.parametrize("delay", [0.0, 10.0], ids=["open", "firewalled"])
@pytest.mark.parametrize("idle", range(0, 20, 3))
def test_a_dead_jump_peer_is_left_within_30_seconds_whenever_it_dies(idle: int, delay: float) -> None:
    script = Script(config(1, 2), delay)
    script.run(100 + idle)
    script.dead.add(FIRST)
    script.run(25)
    assert script.failover.serving == SECOND
    assert script.failover.instead == SECOND


def test_a_break_of_some_seconds_moves_nothing() -> None:
    script = Script(config(1, 2))
    for _ in range(10):
        script.dead.add(FIRST)
        script.run(12)
        script.dead.clear()
        script.run(20)
        assert script.failover.serving == FIRST


def test_the_next_one_that_is_heard_serves_not_the_next_one() -> None:
    script = Script(config(1, 2, 3))
    script.run(50)
    script.dead |= {FIRST, SECOND}
    script.run(25)
    assert script.failover.serving == THIRD


def test_where_none_is_heard_none_is_left_for_another_that_is_dead_too() -> None:
    script = Script(config(1, 2))
    script.run(50)
    script.dead |= {FIRST, SECOND}
    seen = set()
    for _ in range(60):
        script.run(5)
        seen.add(script.failover.serving)
    # A handshake that is fresh still is worth one try.
    script.dead.discard(FIRST)
    script.run(60)
    assert seen <= {FIRST, SECOND}
    assert script.failover.serving == FIRST


def test_one_that_is_back_serves_again_after_five_minutes_and_not_before() -> None:
    script = Script(config(1, 2))
    script.run(50)
    script.dead.add(FIRST)
    script.run(25)
    script.dead.clear()
    script.run(270)
    assert script.failover.serving == SECOND
    script.run(30)
    assert script.failover.serving == FIRST


def test_one_that_stays_dead_does_not_serve_again() -> None:
    script = Script(config(1, 2))
    script.run(50)
    script.dead.add(FIRST)
    script.run(1000)
    assert script.failover.serving == SECOND


def test_the_servers_new_primary_ends_a_choice_of_our_own_and_the_old_one_named_again_does_not() -> None:
    script = Script(config(1, 2, 3))
    script.run(50)
    script.dead.add(FIRST)
    script.run(25)
    assert script.failover.serving == SECOND
    script.follow(1, 2, 3)
    assert script.failover.serving == SECOND
    script.follow(3, 1, 2)
    assert script.failover.serving == THIRD
    script.run(400)
    assert script.failover.serving == THIRD


def test_an_only_jump_peer_is_not_probed() -> None:
    script = Script(config(1))
    script.run(100)
    assert script.probes == 0
    assert not script.failover.is_needed


def test_one_that_starts_goes_on_with_the_jump_peer_that_it_finds_serving() -> None:
    failover, now = Failover(), Moment(5.0, 1_700_000_000.0)
    failover.follow(config(1, 2), SECOND, now)
    assert failover.instead == SECOND
