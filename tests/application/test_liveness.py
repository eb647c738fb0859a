"""Who is told that a peer came or fell silent, and what is said of peers after a restart of the server."""

from collections import Counter
from datetime import timedelta

import pytest

from isthmus.domain.mesh.liveness import Liveness, State
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.records import PeerStatus
from tests.application.backend import ADA, Backend
from tests.builders import NOON


@pytest.fixture
async def network(backend: Backend) -> Network:
    return await backend.network()


async def beat(backend: Backend, peer: Peer, *reports: wire.PeerReport) -> None:
    await backend.agents.heartbeat(peer.id, wire.Heartbeat(backend.agents.fresh_nonce(peer.id), 0, peers=reports))


async def state_of(backend: Backend, peer: Peer) -> Liveness:
    statuses = await backend.agents.statuses([peer.id])
    return backend.liveness.of(await backend.peer_now(peer.id), statuses[peer.id])


async def passes(backend: Backend, seconds: float) -> list[str]:
    """Turn the clock and look; returns the events that were told meanwhile."""
    backend.clock.turn(timedelta(seconds=seconds))
    await backend.liveness.tick()
    events = [notice.event for notice in backend.notices]
    backend.notices.clear()
    return events


async def test_each_turn_of_an_agent_is_told_once(backend: Backend, network: Network) -> None:
    peer = await backend.enrolled(network, "laptop")
    await passes(backend, 1000), await passes(backend, 0)
    assert await state_of(backend, peer) == Liveness(State.OFFLINE, None)

    since = backend.clock.now()
    await beat(backend, peer)
    (notice,) = backend.notices
    assert (notice.event, notice.subject, notice.network) == ("peer.online", str(peer.id), str(network.id))
    assert notice.revision == (await backend.network_now(network.id)).revision
    assert await passes(backend, 15) == ["peer.online"]
    await beat(backend, peer)
    assert await passes(backend, 36) == []
    assert await state_of(backend, peer) == Liveness(State.ONLINE, since)

    last = since + timedelta(seconds=15)
    assert await passes(backend, 1) == ["peer.stale"]
    assert await passes(backend, 53) == []
    assert await state_of(backend, peer) == Liveness(State.STALE, last)
    assert await passes(backend, 1) == ["peer.offline"]
    assert await passes(backend, 3600) == []
    assert await state_of(backend, peer) == Liveness(State.OFFLINE, last)

    await beat(backend, peer)
    assert await passes(backend, 0) == ["peer.online"]
    assert await state_of(backend, peer) == Liveness(State.ONLINE, backend.clock.now())


async def test_what_an_agent_applied_is_a_sign_of_life(backend: Backend, network: Network) -> None:
    peer = await backend.enrolled(network, "laptop")
    await passes(backend, 1000), await passes(backend, 0)
    await backend.agents.applied(peer.id, wire.Applied(1, 3))
    assert await passes(backend, 0) == ["peer.online"]


async def test_a_static_peer_is_seen_by_its_jump_peer(backend: Backend, network: Network) -> None:
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    phone = await backend.peer(network, "phone", Kind.STATIC)
    assert phone.public_key is not None
    await beat(backend, gw, wire.PeerReport(phone.public_key, latest_handshake=int(NOON.timestamp())))
    assert await passes(backend, 30) == ["peer.online", "peer.online"]
    assert await state_of(backend, phone) == Liveness(State.ONLINE, NOON)
    await beat(backend, gw)
    await passes(backend, 140)
    await beat(backend, gw)
    assert "peer.offline" not in await passes(backend, 10)
    assert "peer.offline" in await passes(backend, 1)
    assert await state_of(backend, phone) == Liveness(State.OFFLINE, NOON)
    # Who watches it is silent: whether it is there, nobody can tell.
    await passes(backend, 60)
    assert await state_of(backend, phone) == Liveness(State.UNKNOWN, NOON)


async def test_after_a_start_nobody_is_offline_by_the_servers_own_absence(backend: Backend, network: Network) -> None:
    peer = await backend.enrolled(network, "laptop")
    home = await backend.network("home", "10.30.0.0/24")
    seen = NOON - timedelta(days=1)
    status = PeerStatus(peer.id, last_seen=seen)
    told = []
    for seconds, state in [(36, State.UNKNOWN), (1, State.STALE), (53, State.STALE), (1, State.OFFLINE)]:
        told.append(await passes(backend, seconds))
        assert backend.liveness.of(peer, status) == Liveness(state, seen)
    both = ["network.liveness", "network.liveness"]
    assert told == [[], both, [], both]
    assert await passes(backend, 3600) == []
    assert home.id != network.id


async def test_a_peer_that_never_enrolled_is_offline_from_the_first(backend: Backend, network: Network) -> None:
    assert await state_of(backend, await backend.peer(network, "laptop")) == Liveness(State.OFFLINE, None)


async def test_a_peer_that_is_deleted_falls_silent_without_a_word(backend: Backend, network: Network) -> None:
    peer = await backend.enrolled(network, "laptop")
    await passes(backend, 1000), await passes(backend, 0)
    await beat(backend, peer)
    await backend.peers.delete(ADA, peer.id, None, force=False)
    assert await passes(backend, 3600) == ["peer.online"]


async def test_agents_are_counted_as_each_of_them_is_judged(backend: Backend, network: Network) -> None:
    gw, laptop = await backend.enrolled(network, "gw", Kind.JUMP), await backend.enrolled(network, "laptop")
    quiet, awaited = await backend.enrolled(network, "quiet"), await backend.peer(network, "awaited")
    phone = await backend.peer(network, "phone", Kind.STATIC)
    assert phone.public_key is not None
    seen = []
    for seconds in (0, 30, 10, 60, 60):
        await passes(backend, seconds)
        judged = Counter([(await state_of(backend, peer)).state for peer in (gw, laptop, quiet, awaited)])
        assert backend.liveness.agents(3, 1) == {state: judged[state] for state in State}
        seen.append(+judged)
        if seconds == 30:
            await beat(backend, gw, wire.PeerReport(phone.public_key, latest_handshake=int(NOON.timestamp())))
            await beat(backend, laptop)
        if seconds == 10:
            await beat(backend, gw)
    assert set().union(*seen) == set(State)
