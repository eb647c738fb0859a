"""A map of a network that has more tunnels than can be told."""

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.server.application import topology
from isthmus.server.application.bridge_status import BridgeStatusService
from isthmus.server.application.topology import Sources, Topology, TopologyService
from tests.application.backend import BOTH_DATABASES, Backend
from tests.application.reporting import to

SINCE = 1_770_000_000


class Away:
    """Nobody has a connection open."""

    def is_connected(self, peer_id: object) -> bool:
        return False


def service_of(backend: Backend) -> TopologyService:
    bridges = BridgeStatusService(backend.store, backend.clock, backend.agents, Away(), backend.spans)
    return TopologyService(
        backend.store, backend.clock, Sources(backend.agents, backend.liveness, backend.paths, bridges)
    )


def pairs(found: Topology) -> set[frozenset[str]]:
    return {frozenset((tunnel.one.name, tunnel.path.other.name)) for tunnel in found.tunnels}


async def a_full_mesh(backend: Backend) -> tuple[NetworkId, list[Peer]]:
    network = await backend.network()
    await backend.enrolled(network, "gw", Kind.JUMP)
    return network.id, [await backend.enrolled(network, f"host-{number}") for number in range(5)]


@BOTH_DATABASES
async def test_open_ways_are_told_before_others_and_what_is_left_out_is_counted(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_id, hosts = await a_full_mesh(backend)
    whole = await service_of(backend).of(network_id)
    assert (len(whole.tunnels), whole.tunnels_left_out) == (5 + 10, 0)
    monkeypatch.setattr(topology, "MOST_TUNNELS", 3)
    await backend.beat(hosts[4], paths=(to(hosts[3], SINCE), to(hosts[2], SINCE)))
    await backend.beat(hosts[3], paths=(to(hosts[4], SINCE),))
    found = await service_of(backend).of(network_id)
    assert (len(found.tunnels), found.tunnels_left_out) == (5 + 3, 7)
    assert pairs(found) >= {frozenset(("host-4", "host-3")), frozenset(("host-4", "host-2"))}
    assert len(pairs(found)) == len(found.tunnels)


async def test_jump_peers_are_told_however_many_others_there_are(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_id, _ = await a_full_mesh(backend)
    await backend.enrolled(await backend.network_now(network_id), "second", Kind.JUMP, endpoint="198.51.100.8:51820")
    monkeypatch.setattr(topology, "MOST_PEERS", 3)
    found = await service_of(backend).of(network_id)
    assert [node.peer.name for node in found.nodes] == ["gw", "second", "host-0", "host-1"]
    assert found.peers_left_out == 3
    assert pairs(found) >= {frozenset(("second", "host-0"))}


async def test_of_a_network_that_is_not_there_nothing_is_told(backend: Backend) -> None:
    with pytest.raises(NotFound):
        await service_of(backend).of(NetworkId(backend.ids.new()))
