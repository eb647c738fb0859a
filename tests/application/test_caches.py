"""What is read often is worked out once: parts of configs, and the map of a network, until something of it changes."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from isthmus.domain.mesh.enrollment import LIFETIME
from isthmus.domain.mesh.peer_state import PeerState
from isthmus.server.application import network_memory, topology
from isthmus.server.application import wire as to_wire
from isthmus.server.application.networks import Update as NetworkUpdate
from isthmus.server.application.peers import Update
from isthmus.server.application.topology import MOST_KEPT, Topology, TopologyService
from isthmus.server.ports import Transaction
from tests.application.backend import ADA, BOTH_DATABASES, Backend
from tests.application.test_mesh_memory import Walk, as_json
from tests.application.test_topology import a_full_mesh, pairs, service_of

READS = 1_000
STEPS = 120


class Counted:
    """How often the store was read, and parts of configs or of maps were made."""

    def __init__(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.readings = self.parts = 0
        self._reading = backend.store.reading
        monkeypatch.setattr(backend.store, "reading", self._counted)
        for module, name in (
            (to_wire, "neighbour"),
            (network_memory, "tunnel_for"),
            (topology, "tunnels_with_jumps"),
            (topology, "seekers"),
        ):
            monkeypatch.setattr(module, name, self._making(getattr(module, name)))

    @contextlib.asynccontextmanager
    async def _counted(self) -> AsyncIterator[Transaction]:
        self.readings += 1
        async with self._reading() as tx:
            yield tx

    def _making(self, make: Any) -> Any:
        def making(*arguments: Any) -> Any:
            self.parts += 1
            return make(*arguments)

        return making


@pytest.mark.case("SEED-101")
@BOTH_DATABASES
async def test_a_thousand_unchanged_reads_make_nothing_anew_and_a_change_is_in_the_next_one(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_id, hosts = await a_full_mesh(backend)
    maps, first, others = service_of(backend), hosts[0], hosts[1:]
    counted = Counted(backend, monkeypatch)
    config, seen = await backend.agents.news(first.id, None), await maps.of(network_id)
    assert counted.readings > 0
    assert counted.parts > 0
    before = counted.readings, counted.parts
    for _ in range(READS):
        assert await backend.agents.news(first.id, None) == config
        assert await maps.of(network_id) == seen
    assert (counted.readings, counted.parts) == before

    await backend.peers.update(ADA, others[0].id, Update(isolated=True), None)
    assert {node.peer.id: node.peer.isolated for node in (await maps.of(network_id)).nodes}[others[0].id]
    assert len((await maps.of(network_id)).tunnels) == len(seen.tunnels) - len(hosts) + 1
    fresh = await backend.agents.news(first.id, None)
    assert keys_in(config) - keys_in(fresh) == {others[0].public_key}
    await backend.networks.update(ADA, network_id, NetworkUpdate(mtu=1300), None)
    assert as_json((await backend.agents.news(first.id, None)).config)["mtu"] == 1300
    assert (await maps.of(network_id)).network.mtu == 1300


def keys_in(news: network_memory.News) -> set[str]:
    return {each["public_key"] for each in as_json(news.config)["neighbours"]}


@pytest.mark.case("SEED-101")
async def test_after_each_of_many_changes_the_map_is_that_of_who_kept_nothing(backend: Backend) -> None:
    network = await backend.network()
    maps, walk, changes = service_of(backend), Walk(backend, network, seed=7), 0
    last: Topology | None = None
    for _ in range(STEPS):
        await walk.step()
        found = await maps.of(network.id)
        assert found == await service_of(backend).of(network.id)
        changes += found != last
        last = found
    assert changes > STEPS // 4


@pytest.mark.case("SEED-101")
async def test_a_new_token_of_who_waits_is_on_the_map_at_once(backend: Backend) -> None:
    network = await backend.network()
    waiting, maps = await backend.peer(network, "waiting"), service_of(backend)
    backend.clock.turn(LIFETIME + timedelta(seconds=1))
    (before,) = (await maps.of(network.id)).nodes
    await backend.peers.new_token(ADA, waiting.id)
    (after,) = (await maps.of(network.id)).nodes
    assert (before.state, after.state) == (PeerState.EXPIRED, PeerState.PENDING)


async def test_what_is_written_while_a_map_is_read_is_not_missed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_id, hosts = await a_full_mesh(backend)
    maps, read = service_of(backend), TopologyService._read

    async def late(self: TopologyService, asked: Any) -> Any:
        """Its answer comes after a change that is not in it."""
        ground = await read(self, asked)
        if not late_ones:
            late_ones.append(asked)
            await backend.peers.delete(ADA, hosts[0].id, None, force=True)
        return ground

    late_ones: list[Any] = []
    monkeypatch.setattr(TopologyService, "_read", late)
    assert len((await maps.of(network_id)).nodes) == 6
    assert len((await maps.of(network_id)).nodes) == 5


async def test_maps_that_were_asked_for_long_ago_make_room(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    network_id, _ = await a_full_mesh(backend)
    other = await backend.network("other", "10.21.0.0/24")
    await backend.enrolled(other, "lone")
    maps, counted = service_of(backend), Counted(backend, monkeypatch)
    assert MOST_KEPT >= topology.MOST_PEERS
    monkeypatch.setattr(topology, "MOST_KEPT", 6)

    async def readings(asked: Any) -> int:
        before = counted.readings
        await maps.of(asked)
        return counted.readings - before

    await maps.of(network_id)
    assert await readings(network_id) == 0
    assert await readings(other.id) > 0
    assert await readings(other.id) == 0
    assert await readings(network_id) > 0
    assert pairs(await maps.of(other.id)) == set()
