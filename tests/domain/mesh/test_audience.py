"""Whom a change concerns, against the slow oracle: every tunnel of the network computed anew."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Audience, Peer, audience_of, desired_revision
from isthmus.domain.mesh.tunnel import Tunnel, tunnel_for
from tests.builders import a_jump, a_key, a_network, a_peer, a_static
from tests.domain.strategies import Topology, offers_of, peers, topologies

LAN = (ip_network("192.168.50.0/24"),)
NEWCOMERS = st.integers(100, 120)


class Mesh:
    """A network that keeps count of whom each step concerns, as the server does, and can compute all tunnels anew."""

    def __init__(self, network: Network, members: tuple[Peer, ...] = ()) -> None:
        self.network = network
        self.peers = {peer.id: peer for peer in members}

    def step(self, before: Peer | None, after: Peer | None) -> Audience:
        audience = audience_of(before, after, direct=self.network.has_direct_paths)
        shared = audience is Audience.EVERYONE
        self.network = self.network.advanced(jumps=audience is Audience.JUMPS, shared=shared)
        if before is not None:
            del self.peers[before.id]
        if after is not None:
            self.peers[after.id] = replace(after, revision=self.network.revision)
        return audience

    def tunnels(self) -> dict[PeerId, Tunnel]:
        return {peer.id: tunnel_for(self.network, self.peers.values(), peer) for peer in self.peers.values()}

    def desired(self) -> dict[PeerId, int]:
        return {peer.id: desired_revision(self.network, peer) for peer in self.peers.values()}


@st.composite
def changed(draw: st.DrawFn, peer: Peer) -> Peer:
    """`peer` with one field changed as an operator or its agent may change it."""
    number = peer.id.int
    ways: dict[str, st.SearchStrategy[Any]] = {
        "public_key": st.sampled_from([a_key(number), a_key(number + 1_000)]),
        "name": st.sampled_from([peer.name, f"renamed-{number}"]),
        "endpoint": st.sampled_from([peer.endpoint, Endpoint("gw.example", 4500)]),
        "additional_allowed_ips": offers_of(number),
        "addresses": st.just(tuple(address + 100 for address in peer.addresses)),
        "owner": st.just("zoe"),
        "labels": st.just({"site": "bern"}),
        "candidates": st.sampled_from([(), (Endpoint("192.168.7.5", 40_000),)]),
        "observed": st.sampled_from([None, Endpoint("203.0.113.9", 40_000)]),
    }
    if not peer.is_jump:
        ways |= {"isolated": st.booleans(), "full_encapsulation": st.booleans()}
    way = draw(st.sampled_from(sorted(ways)))
    return replace(peer, **{way: draw(ways[way])})


def take_a_step(data: st.DataObject, mesh: Mesh) -> tuple[Audience, PeerId]:
    """Create, change or delete one peer; answers whom it concerned and which peer it was."""
    kind = data.draw(st.sampled_from(["create", "change", "change", "delete"]))
    if kind == "create" or not mesh.peers:
        newcomer = data.draw(NEWCOMERS.flatmap(lambda number: peers(mesh.network, number)))
        return mesh.step(mesh.peers.get(newcomer.id), newcomer), newcomer.id
    before = data.draw(st.sampled_from(list(mesh.peers.values())))
    return mesh.step(before, data.draw(changed(before)) if kind == "change" else None), before.id


def concerned(audience: Audience, peer: Peer) -> bool:
    return audience is Audience.EVERYONE or (audience is Audience.JUMPS and peer.is_jump)


@settings(max_examples=80)
@given(topology=topologies(blocking=False), data=st.data())
def test_all_whose_tunnel_changed_are_in_the_audience(topology: Topology, data: st.DataObject) -> None:
    mesh = Mesh(topology.network, topology.peers)
    before = mesh.tunnels()
    audience, own = take_a_step(data, mesh)
    after = mesh.tunnels()
    for peer in mesh.peers.values():
        if peer.id != own and before[peer.id] != after[peer.id]:
            assert concerned(audience, peer), (peer, audience)


@settings(max_examples=80)
@given(direct=st.sampled_from([DirectPaths.ON, DirectPaths.OFF]), data=st.data())
def test_over_a_walk_of_changes_a_tunnel_moves_only_with_its_desired_revision(
    direct: DirectPaths, data: st.DataObject
) -> None:
    mesh = Mesh(a_network(direct_paths=direct))
    for _ in range(data.draw(st.integers(1, 12))):
        tunnels, desired = mesh.tunnels(), mesh.desired()
        audience, own = take_a_step(data, mesh)
        for peer in mesh.peers.values():
            revision = desired_revision(mesh.network, peer)
            if peer.id == own or concerned(audience, peer):
                assert revision == mesh.network.revision
            else:
                assert revision == desired[peer.id]
                assert tunnel_for(mesh.network, mesh.peers.values(), peer) == tunnels[peer.id]


JUMP, SITE, LAPTOP = a_jump(1), a_peer(2, additional_allowed_ips=LAN), a_peer(3)
QUIET = replace(LAPTOP, public_key=None)


@pytest.mark.parametrize(
    ("before", "after", "audience"),
    [
        pytest.param(None, QUIET, Audience.NOBODY, id="a peer is created that has to enroll"),
        pytest.param(None, replace(JUMP, public_key=None), Audience.NOBODY, id="a jump peer that has to enroll"),
        pytest.param(QUIET, LAPTOP, Audience.JUMPS, id="a peer enrolls"),
        pytest.param(replace(JUMP, public_key=None), JUMP, Audience.EVERYONE, id="a jump peer enrolls"),
        pytest.param(replace(SITE, public_key=None), SITE, Audience.EVERYONE, id="a peer with ranges enrolls"),
        pytest.param(None, a_static(4), Audience.JUMPS, id="a static peer is created"),
        pytest.param(LAPTOP, None, Audience.JUMPS, id="a peer is deleted"),
        pytest.param(QUIET, None, Audience.NOBODY, id="a peer that never enrolled is deleted"),
        pytest.param(JUMP, None, Audience.EVERYONE, id="a jump peer is deleted"),
        pytest.param(SITE, None, Audience.EVERYONE, id="a peer with ranges is deleted"),
        pytest.param(LAPTOP, LAPTOP, Audience.NOBODY, id="nothing"),
    ],
)
def test_a_peer_that_comes_or_goes_concerns_those_who_list_it(
    before: Peer | None, after: Peer | None, audience: Audience
) -> None:
    assert audience_of(before, after) is audience


@pytest.mark.parametrize(
    ("change", "audience"),
    [
        ({"name": "renamed"}, Audience.JUMPS),
        ({"public_key": a_key(99)}, Audience.JUMPS),
        ({"addresses": a_peer(99).addresses}, Audience.JUMPS),
        ({"isolated": True}, Audience.JUMPS),
        ({"full_encapsulation": True}, Audience.JUMPS),
        ({"additional_allowed_ips": LAN}, Audience.EVERYONE),
        ({"endpoint": Endpoint("gw.example", 4500)}, Audience.NOBODY),
        ({"owner": "zoe"}, Audience.NOBODY),
        ({"labels": {"site": "bern"}}, Audience.NOBODY),
        ({"revision": 7, "version": 7}, Audience.NOBODY),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_change_of_a_regular_peer_disturbs_others_only_for_its_ranges(
    change: dict[str, Any], audience: Audience
) -> None:
    assert audience_of(LAPTOP, replace(LAPTOP, **change)) is audience
    assert audience_of(replace(LAPTOP, **change), LAPTOP) is audience
    assert audience_of(QUIET, replace(QUIET, **change | {"public_key": None})) is Audience.NOBODY


SEEN = Endpoint("203.0.113.9", 40_000)


@pytest.mark.parametrize(
    ("before", "after", "audience"),
    [
        pytest.param(None, QUIET, Audience.NOBODY, id="a peer is created that has to enroll"),
        pytest.param(QUIET, LAPTOP, Audience.EVERYONE, id="an agent enrolls"),
        pytest.param(LAPTOP, None, Audience.EVERYONE, id="an agent goes"),
        pytest.param(LAPTOP, replace(LAPTOP, blocked=True), Audience.EVERYONE, id="an agent is blocked"),
        pytest.param(LAPTOP, replace(LAPTOP, public_key=a_key(99)), Audience.EVERYONE, id="an agent has a new key"),
        pytest.param(LAPTOP, replace(LAPTOP, observed=SEEN), Audience.EVERYONE, id="an agent is seen elsewhere"),
        pytest.param(LAPTOP, replace(LAPTOP, candidates=(SEEN,)), Audience.EVERYONE, id="an agent has an address"),
        pytest.param(
            replace(LAPTOP, candidates=(SEEN,)),
            replace(LAPTOP, candidates=(SEEN,), observed=SEEN),
            Audience.NOBODY,
            id="an agent is seen where it said to be",
        ),
        pytest.param(LAPTOP, replace(LAPTOP, isolated=True), Audience.EVERYONE, id="an agent is isolated"),
        pytest.param(LAPTOP, replace(LAPTOP, owner="zoe"), Audience.NOBODY, id="nothing that others are told"),
        pytest.param(None, replace(LAPTOP, isolated=True), Audience.JUMPS, id="an isolated agent comes"),
        pytest.param(QUIET, replace(QUIET, observed=SEEN), Audience.NOBODY, id="one that has to enroll is seen"),
        pytest.param(None, a_static(4), Audience.JUMPS, id="a static peer comes"),
        pytest.param(a_static(4), replace(a_static(4), observed=SEEN), Audience.NOBODY, id="a static peer is seen"),
    ],
)
def test_with_direct_paths_everyone_hears_of_an_agent_that_others_may_reach(
    before: Peer | None, after: Peer | None, audience: Audience
) -> None:
    assert audience_of(before, after, direct=True) is audience


@pytest.mark.parametrize("change", [{"observed": SEEN}, {"candidates": (SEEN,)}], ids=lambda change: next(iter(change)))
def test_without_direct_paths_nobody_hears_of_endpoints(change: dict[str, Any]) -> None:
    assert audience_of(LAPTOP, replace(LAPTOP, **change)) is Audience.NOBODY


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"public_key": a_key(99)},
        {"addresses": a_peer(99).addresses},
        {"endpoint": Endpoint("gw.example", 4500)},
        {"additional_allowed_ips": LAN},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everyone_hears_of_a_jump_peer(change: dict[str, Any]) -> None:
    assert audience_of(JUMP, replace(JUMP, **change)) is Audience.EVERYONE


def test_isolating_a_peer_with_ranges_takes_them_from_everyone() -> None:
    assert audience_of(SITE, replace(SITE, isolated=True)) is Audience.EVERYONE


@pytest.mark.parametrize(
    ("make", "own", "expected"), [(a_jump, 2, 5), (a_peer, 2, 4), (a_peer, 6, 6), (a_static, 4, 4), (a_jump, 6, 6)]
)
def test_a_peer_is_told_the_latest_of_its_own_and_the_common_news(
    make: Callable[..., Peer], own: int, expected: int
) -> None:
    network = a_network(revision=9, jump_revision=5, shared_revision=4)
    assert desired_revision(network, make(revision=own)) == expected
