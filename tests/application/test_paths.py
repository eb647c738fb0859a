"""What is shown of the ways between peers: what their agents say, and nothing that nobody knows."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from isthmus.domain.errors import InvalidValue
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import networks, path_memory, peers
from isthmus.server.application.paths import Path
from isthmus.server.records import Page
from tests.application.backend import ADA, Backend, a_public_key
from tests.application.reporting import on, to, unix

SINCE = 1_770_000_000


@dataclass
class Office:
    backend: Backend
    network: Network
    gw: Peer
    standby: Peer
    laptop: Peer
    desk: Peer
    phone: Peer

    async def paths(self, peer: Peer) -> dict[str, Path]:
        found = await self.backend.paths.page(peer.id, Page())
        return {path.other.name: path for path in found.paths}

    async def way(self, one: Peer, other: Peer) -> tuple[bool | None, str | None]:
        path = (await self.paths(one))[other.name]
        return path.direct, None if path.via is None else path.via.name

    async def beats(self, *peers_: Peer, **fields: Any) -> None:
        for peer in peers_:
            await self.backend.beat(peer, **fields)


@pytest.fixture
async def office(backend: Backend) -> Office:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    standby = await backend.enrolled(network, "standby", Kind.JUMP, endpoint="198.51.100.8:51820")
    laptop, desk = [await backend.enrolled(network, name) for name in ("laptop", "desk")]
    phone = await backend.peer(network, "phone", Kind.STATIC)
    return Office(backend, network, gw, standby, laptop, desk, phone)


async def test_nobody_knows_the_way_between_two_agents_that_are_not_there(office: Office) -> None:
    assert await office.way(office.laptop, office.desk) == (None, None)
    await office.beats(office.laptop)
    assert await office.way(office.laptop, office.desk) == (False, "gw")
    office.backend.clock.turn(timedelta(minutes=2))
    assert await office.way(office.laptop, office.desk) == (None, None)


async def test_a_direct_way_is_shown_on_the_word_of_either_side(office: Office) -> None:
    await office.beats(office.laptop, paths=(to(office.desk, SINCE, round_trip=1_500),))
    for one, other in ((office.laptop, office.desk), (office.desk, office.laptop)):
        path = (await office.paths(one))[other.name]
        assert (path.direct, path.via, path.round_trip) == (True, None, 1_500)
        assert path.since == datetime.fromtimestamp(SINCE, UTC)
    await office.beats(office.desk, paths=(to(office.laptop, SINCE + 60, via=office.gw),))
    assert await office.way(office.laptop, office.desk) == (True, None)
    assert await office.way(office.desk, office.laptop) == (False, "gw")


async def test_a_way_that_closed_leads_through_the_jump_peer_in_use(office: Office) -> None:
    await office.beats(office.laptop, paths=(to(office.desk, SINCE),))
    await office.beats(office.laptop, paths=(to(office.desk, SINCE + 60, via=office.gw),))
    assert await office.way(office.laptop, office.desk) == (False, "gw")
    await office.beats(office.laptop, paths=(to(office.standby, SINCE + 90),))
    assert await office.way(office.laptop, office.desk) == (False, "standby")
    assert await office.way(office.laptop, office.phone) == (False, "standby")


async def test_an_agent_that_was_started_anew_has_told_nothing_yet(office: Office) -> None:
    for started_at, expected in ((10, True), (10, True), (20, False)):
        paths = (to(office.desk, SINCE),) if started_at == 10 else ()
        await office.beats(office.laptop, host=wire.Host("host", "machine", "boot", "0", 1, started_at), paths=paths)
        assert (await office.way(office.laptop, office.desk))[0] is expected


async def test_bytes_and_handshake_are_those_of_the_tunnel_between_the_two_seen_from_either_end(office: Office) -> None:
    handshake = unix(office.backend, ago=20)
    await office.beats(office.laptop, peers=(on(office.desk, "192.168.7.6:1", latest_handshake=handshake, rx=7, tx=9),))
    near, far = (await office.paths(office.laptop))["desk"], (await office.paths(office.desk))["laptop"]
    assert (near.rx, near.tx, far.rx, far.tx) == (7, 9, 9, 7)
    assert near.latest_handshake == far.latest_handshake == datetime.fromtimestamp(handshake, UTC)
    await office.beats(office.gw, peers=(on(office.phone, "203.0.113.9:1", latest_handshake=handshake, rx=1, tx=2),))
    phone = (await office.paths(office.phone))["gw"]
    assert (phone.direct, phone.rx, phone.tx) == (True, 2, 1)
    other = (await office.paths(office.phone))["laptop"]
    assert (other.direct, other.rx, other.latest_handshake) == (False, None, None)


async def test_peers_without_agents_reach_others_through_the_primary_jump_peer(office: Office) -> None:
    found = await office.paths(office.phone)
    assert {name: (path.direct, path.via and path.via.name) for name, path in found.items()} == {
        "gw": (True, None),
        "standby": (True, None),
        "laptop": (False, "gw"),
        "desk": (False, "gw"),
    }


async def test_only_peers_that_can_be_reached_are_listed(office: Office) -> None:
    backend = office.backend
    await backend.peer(office.network, "waiting")
    await backend.peers.update(ADA, office.desk.id, peers.Update(isolated=True), None)
    assert set(await office.paths(office.laptop)) == {"gw", "standby", "phone"}
    assert set(await office.paths(office.desk)) == {"gw", "standby"}
    assert set(await office.paths(office.gw)) == {"standby", "laptop", "desk", "phone"}


async def test_without_direct_paths_no_report_makes_a_way_direct(office: Office) -> None:
    await office.beats(office.laptop, paths=(to(office.desk, SINCE),))
    await office.backend.networks.update(ADA, office.network.id, networks.Update(direct_paths=DirectPaths.OFF), None)
    assert await office.way(office.laptop, office.desk) == (False, "gw")


async def test_pages_go_on_after_peers_that_cannot_be_reached(office: Office) -> None:
    await office.backend.peers.update(ADA, office.desk.id, peers.Update(isolated=True), None)
    names, after = [], None
    while True:
        found = await office.backend.paths.page(office.laptop.id, Page(1, after))
        names += [path.other.name for path in found.paths]
        if found.last is None:
            break
        after = found.last
    assert names == ["gw", "standby", "phone"]


async def test_reports_of_strangers_are_not_kept(office: Office) -> None:
    backend = office.backend
    other = await backend.network("lab", "10.99.0.0/24")
    stranger = await backend.enrolled(other, "stranger")
    nobody = wire.PathReport(a_public_key(), SINCE)
    with pytest.raises(InvalidValue, match="is the key of no peer of this network"):
        await office.beats(office.laptop, peers=(on(stranger, "203.0.113.9:1"),), paths=(to(stranger), nobody))
    await office.beats(office.laptop, paths=(to(stranger), nobody))
    told = backend.memory.agents(office.network.id)[office.laptop.id]
    assert (told.seen, told.ways) == ({}, {})


async def test_an_agent_is_remembered_for_so_many_neighbours_and_no_more(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_memory, "MOST_NEIGHBOURS", 2)
    everyone = (office.gw, office.standby, office.desk, office.phone)
    await office.beats(office.laptop, peers=tuple(map(on, everyone)), paths=tuple(map(to, everyone)))
    await office.beats(office.laptop, peers=(on(office.gw, "203.0.113.9:1", rx=5),))
    told = office.backend.memory.agents(office.network.id)[office.laptop.id]
    assert (len(told.seen), len(told.ways)) == (2, 2)
    assert told.seen[office.gw.id].rx == 5


async def test_nothing_is_left_of_peers_and_networks_that_are_gone(office: Office) -> None:
    backend = office.backend
    await office.beats(office.laptop, peers=(on(office.desk),), paths=(to(office.desk), to(office.gw)))
    await office.beats(office.desk, peers=(on(office.laptop),))
    await backend.peers.delete(ADA, office.desk.id, None, force=False)
    agents = backend.memory.agents(office.network.id)
    assert set(agents) == {office.laptop.id}
    assert set(agents[office.laptop.id].ways) == {office.gw.id}
    await backend.networks.delete(ADA, office.network.id, None, force=True)
    assert backend.memory.networks() == []
