"""Every pair of states that two sides of a bridge can be in: what each shows, and whether a call and a packet pass."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product

import pytest

from isthmus.domain.federation.bridge import State
from lab.alliance import WITHIN, Alliance
from lab.side import Side
from lab.waiting import wait_until
from tests.bridging.calls import asks
from tests.bridging.test_calls import OK, can_connect
from tests.bridging.traffic import Traffic, running

pytestmark = pytest.mark.timeout(500)
HEALS = 60.0
"""Seconds within which both sides speak to each other again, on a busy machine."""
# Who has proposed is active once it holds the acceptance, and nobody takes back to have accepted.
NEVER = {("active", "proposed"), ("suspended", "proposed")}


@dataclass
class Walk:
    """Leads the bridge from pair to pair, A's state first, and looks at each."""

    alliance: Alliance
    traffic: Traffic
    token: str
    seen: list[tuple[str, str]]
    bridge: str = ""

    def state(self, side: Side) -> str:
        shown = side.api.get(f"/bridges/{self.bridge}")
        return str(shown.raise_for_status().json()["state"])

    def shows_effective(self, side: Side) -> bool:
        return bool(side.api.get(f"/bridges/{self.bridge}").raise_for_status().json()["effective"])

    def await_pair(self, *pair: str) -> None:
        def there() -> bool:
            return tuple(map(self.state, self.alliance.sides)) == pair

        wait_until(there, within=HEALS, what=f"the sides to be {' and '.join(pair)}")

    def is_at(self, *pair: str, they_speak: bool = True) -> None:
        """The bridge gets to `pair`, and nothing passes unless both are active."""
        self.await_pair(*pair)
        self.seen.append((pair[0], pair[1]))
        passes = pair == ("active", "active")
        if they_speak:
            both = self.alliance.sides
            wait_until(
                lambda: [*map(self.shows_effective, both)] == [passes, passes], within=HEALS, what="both to agree"
            )
        else:
            # Who has moved knows; the other one cannot yet, and is no way round.
            assert not all(map(self.shows_effective, self.alliance.sides))
        if passes:
            wait_until(partial(can_connect, self.alliance), within=WITHIN, what="the ingress of A inside the network")
            self.traffic.passes()
            assert self.call() == OK
        else:
            self.traffic.stops(time.monotonic())
            assert self.call() != OK

    def call(self) -> int:
        """The status of a call over the bridge; 0 where it does not get there."""
        try:
            return asks(self.alliance, self.alliance.app, self.token).status
        except OSError:
            return 0

    def act(self, side: Side, action: str) -> None:
        self.alliance.act(side, action)

    def propose(self) -> None:
        a, b = self.alliance.sides
        body = {"remote": b.domain, "network_id": a.network_id}
        self.bridge = str(a.api.post("/bridges", json=body).raise_for_status().json()["id"])
        wait_until(lambda: self.alliance.bridge(b), within=HEALS, what="the proposal at B")

    def join(self) -> None:
        self.bridge = self.alliance.join()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """The backends cannot speak to each other; packets between the gateways could."""
        a, b = self.alliance.sides
        self.alliance.lab.part(a.site.host, b.site.host)
        try:
            yield
        finally:
            self.alliance.lab.unite(a.site.host, b.site.host)


def before_both_agree(walk: Walk) -> None:
    a, b = walk.alliance.sides
    walk.propose()
    walk.is_at("proposed", "proposed")
    with walk.apart():
        walk.alliance.act(b, "accept", network_id=b.network_id)
        walk.is_at("proposed", "active", they_speak=False)
        walk.act(b, "suspend")
        walk.is_at("proposed", "suspended", they_speak=False)
        walk.act(b, "revoke")
        walk.is_at("proposed", "revoked", they_speak=False)
    walk.is_at("revoked", "revoked")
    walk.propose()
    with walk.apart():
        walk.act(a, "revoke")
        walk.is_at("revoked", "proposed", they_speak=False)
    walk.is_at("revoked", "revoked")


def while_both_know(walk: Walk) -> None:
    a, b = walk.alliance.sides
    walk.join()
    walk.is_at("active", "active")
    walk.act(a, "suspend")
    walk.is_at("suspended", "active")
    walk.act(b, "suspend")
    walk.is_at("suspended", "suspended")
    walk.act(a, "resume")
    walk.is_at("active", "suspended")
    with walk.apart():
        walk.act(a, "revoke")
        walk.is_at("revoked", "suspended", they_speak=False)
    walk.is_at("revoked", "revoked")


def revoked_on_one_side(walk: Walk) -> None:
    a, b = walk.alliance.sides
    for mover, pair in ((b, ("active", "revoked")), (a, ("revoked", "active"))):
        walk.join()
        walk.is_at("active", "active")
        with walk.apart():
            walk.act(mover, "revoke")
            walk.is_at(*pair, they_speak=False)
        walk.is_at("revoked", "revoked")
    walk.join()
    walk.act(a, "suspend")
    walk.is_at("suspended", "active")
    with walk.apart():
        walk.act(b, "revoke")
        walk.is_at("suspended", "revoked", they_speak=False)
    walk.is_at("revoked", "revoked")


@pytest.mark.case("BRIDGE-002")
def test_of_all_pairs_of_states_one_lets_calls_and_packets_pass_and_a_revoked_side_ends_the_other(
    alliance: Alliance,
) -> None:
    if alliance.bridge(alliance.a) is not None:
        alliance.join()
        alliance.act(alliance.a, "revoke")
        wait_until(lambda: alliance.bridge(alliance.b) is None, within=HEALS, what="B to hear of it")
    seen: list[tuple[str, str]] = []
    parts: list[Callable[[Walk], None]] = [before_both_agree, while_both_know, revoked_on_one_side]
    with running(alliance) as traffic, alliance.granted() as (_, token), alliance.granted(resource="beacon"):
        walk = Walk(alliance, traffic, token, seen)
        for part in parts:
            part(walk)
        traffic.check_others()
    every = {(ours.value, theirs.value) for ours, theirs in product(State, State)}
    assert every - set(seen) == NEVER
