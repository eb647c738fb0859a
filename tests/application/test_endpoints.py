"""Candidates and observed endpoints become revisions: who is told, what counts, and at what rate."""

from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest

from isthmus.domain.addresses import Endpoint
from isthmus.domain.errors import InvalidValue
from isthmus.domain.mesh import network as rules
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import networks, peers
from isthmus.server.ports import StoreUnavailable
from tests.application.backend import ADA, BOTH_DATABASES, Backend
from tests.application.reporting import let_pass, on, unix


@dataclass
class Office:
    backend: Backend
    network: Network
    gw: Peer
    standby: Peer
    laptop: Peer
    desk: Peer

    async def sees(self, jump: Peer, peer: Peer, endpoint: str, *, handshake: bool = True) -> None:
        at = unix(self.backend) if handshake else 0
        await self.backend.beat(jump, peers=(on(peer, endpoint, latest_handshake=at),))

    async def observed(self, peer: Peer) -> str | None:
        found = (await self.backend.peer_now(peer.id)).observed
        return None if found is None else str(found)

    async def revision(self) -> int:
        return (await self.backend.network_now(self.network.id)).revision


@pytest.fixture
async def office(backend: Backend) -> Office:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    standby = await backend.enrolled(network, "standby", Kind.JUMP, endpoint="198.51.100.8:51820")
    laptop, desk = [await backend.enrolled(network, name) for name in ("laptop", "desk")]
    for peer in (gw, standby, laptop, desk):
        await backend.agents.desired(peer.id)
    return Office(backend, network, gw, standby, laptop, desk)


@BOTH_DATABASES
async def test_candidates_reach_everybody_once_they_have_settled(office: Office) -> None:
    backend, before = office.backend, await office.revision()
    await backend.beat(office.laptop, candidates=("192.168.7.5:40000", "[2001:db8::5]:40000"))
    backend.heard.commits.clear()
    await let_pass(backend, 0.5)
    assert await office.revision() == before
    await let_pass(backend, 1)
    laptop = await backend.peer_now(office.laptop.id)
    assert laptop.candidates == (Endpoint("192.168.7.5", 40_000), Endpoint("2001:db8::5", 40_000))
    (commit,) = backend.heard.commits
    assert (commit.audience, commit.changed, commit.at.revision) == (Audience.EVERYONE, (laptop,), before + 1)
    assert laptop.version == office.laptop.version
    assert (await backend.changes(office.network.id))[-1].event == "peer.endpoints"
    assert not [row for row in await backend.audit() if "endpoint" in row.action]


async def test_reports_that_say_nothing_new_make_no_revision(office: Office) -> None:
    backend = office.backend
    await backend.beat(office.laptop, candidates=("192.168.7.5:40000",))
    await office.sees(office.gw, office.laptop, "203.0.113.9:40000")
    await let_pass(backend, 2)
    before = await office.revision()
    for _ in range(5):
        await backend.beat(office.laptop, candidates=("192.168.7.5:40000",))
        await office.sees(office.gw, office.laptop, "203.0.113.9:40000")
        await let_pass(backend, 10)
    assert await office.revision() == before


async def test_what_nobody_can_be_reached_at_is_left_out(office: Office) -> None:
    inside = str(office.desk.addresses[0])
    bad = ("127.0.0.1:1", "gw.example:1", "nonsense", "169.254.1.1:1", "224.0.0.1:1", f"{inside}:1")
    await office.backend.beat(office.laptop, candidates=(*bad, "192.168.7.5:40000"))
    await office.sees(office.gw, office.laptop, f"{inside}:40000")
    await let_pass(office.backend, 2)
    laptop = await office.backend.peer_now(office.laptop.id)
    assert (laptop.candidates, laptop.observed) == ((Endpoint("192.168.7.5", 40_000),), None)


async def test_the_primary_jump_peers_observation_counts_and_nobody_elses(office: Office) -> None:
    await office.sees(office.gw, office.laptop, "203.0.113.9:40000")
    await office.sees(office.standby, office.laptop, "203.0.113.66:1")
    await office.sees(office.desk, office.laptop, "203.0.113.67:1")
    await let_pass(office.backend, 2)
    assert await office.observed(office.laptop) == "203.0.113.9:40000"


async def test_an_endpoint_without_a_handshake_is_only_what_a_config_says(office: Office) -> None:
    await office.sees(office.gw, office.laptop, "203.0.113.9:40000", handshake=False)
    await let_pass(office.backend, 2)
    assert await office.observed(office.laptop) is None


async def test_a_report_by_a_jump_peer_of_another_network_changes_nothing(office: Office) -> None:
    backend = office.backend
    other = await backend.network("lab", "10.99.0.0/24")
    stranger = await backend.enrolled(other, "stranger", Kind.JUMP)
    before = await office.revision()
    with pytest.raises(InvalidValue, match="is the key of no peer of this network"):
        await office.sees(stranger, office.laptop, "203.0.113.66:1")
    await let_pass(backend, 10)
    assert await office.revision() == before
    assert await office.observed(office.laptop) is None


async def test_an_address_that_flaps_is_told_at_a_bounded_rate_and_ends_with_the_last(office: Office) -> None:
    backend, before = office.backend, await office.revision()
    for number in range(60):
        await office.sees(office.gw, office.laptop, f"203.0.113.9:{40_000 + number}")
        await let_pass(backend, 0.5)
    assert 3 <= await office.revision() - before <= 30 / 5 + 1
    await let_pass(backend, 6)
    assert await office.observed(office.laptop) == "203.0.113.9:40059"


async def test_with_direct_paths_off_nothing_is_stored_until_they_are_on(office: Office) -> None:
    backend = office.backend
    await backend.networks.update(ADA, office.network.id, networks.Update(direct_paths=DirectPaths.OFF), None)
    before = await office.revision()
    await backend.beat(office.laptop, candidates=("192.168.7.5:40000",))
    await office.sees(office.gw, office.laptop, "203.0.113.9:40000")
    await let_pass(backend, 10)
    assert await office.revision() == before
    await backend.networks.update(ADA, office.network.id, networks.Update(direct_paths=DirectPaths.ON), None)
    await let_pass(backend, 2)
    laptop = await backend.peer_now(office.laptop.id)
    assert laptop.direct_endpoints == (Endpoint("192.168.7.5", 40_000), Endpoint("203.0.113.9", 40_000))


async def test_an_isolated_peer_offers_none_until_it_is_isolated_no_more(office: Office) -> None:
    backend = office.backend
    await backend.peers.update(ADA, office.laptop.id, peers.Update(isolated=True), None)
    await backend.beat(office.laptop, candidates=("192.168.7.5:40000",))
    await let_pass(backend, 10)
    assert (await backend.peer_now(office.laptop.id)).candidates == ()
    await backend.peers.update(ADA, office.laptop.id, peers.Update(isolated=False), None)
    await let_pass(backend, 2)
    assert (await backend.peer_now(office.laptop.id)).candidates == (Endpoint("192.168.7.5", 40_000),)


async def test_a_new_primary_jump_peers_earlier_observations_count_from_then_on(office: Office) -> None:
    backend = office.backend
    await office.sees(office.gw, office.laptop, "203.0.113.9:40000")
    await office.sees(office.standby, office.laptop, "203.0.113.9:50000")
    await let_pass(backend, 2)
    await backend.networks.update(ADA, office.network.id, networks.Update(primary_id=office.standby.id), None)
    await let_pass(backend, 7)
    assert await office.observed(office.laptop) == "203.0.113.9:50000"


async def test_what_the_store_does_not_take_is_written_later(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = office.backend
    await backend.beat(office.laptop, candidates=("192.168.7.5:40000",))
    backend.clock.turn(timedelta(seconds=2))

    def broken() -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(backend.store, "transaction", broken)
        with pytest.raises(StoreUnavailable):
            await backend.endpoints.work()
    await let_pass(backend, 2)
    assert (await backend.peer_now(office.laptop.id)).candidates == (Endpoint("192.168.7.5", 40_000),)


async def test_many_reports_at_once_are_written_in_few_transactions(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = office.backend
    crowd = [await backend.enrolled(office.network, f"peer-{number}") for number in range(40)]
    opened = 0
    transaction = backend.store.transaction

    def counted() -> object:
        nonlocal opened
        opened += 1
        return transaction()

    for number, peer in enumerate(crowd):
        await backend.beat(peer, candidates=(f"192.168.7.{number + 1}:40000",))
    monkeypatch.setattr(backend.store, "transaction", counted)
    await let_pass(backend, 2)
    assert opened <= 3
    assert all(peer.candidates for peer in await backend.peers_of(office.network.id) if peer.name.startswith("peer-"))


async def test_a_peer_that_is_deleted_in_between_is_passed_over(office: Office) -> None:
    backend = office.backend
    await backend.beat(office.laptop, candidates=("192.168.7.5:40000",))
    await backend.beat(office.desk, candidates=("192.168.7.6:40000",))
    await backend.peers.delete(ADA, office.laptop.id, None, force=False)
    await let_pass(backend, 2)
    assert (await backend.peer_now(office.desk.id)).candidates == (Endpoint("192.168.7.6", 40_000),)


async def test_crossing_the_size_up_to_which_direct_paths_are_on_tells_everyone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = office.backend
    monkeypatch.setattr(rules, "DIRECT_UP_TO", 2)

    async def direct_neighbours() -> set[str]:
        config = (await backend.agents.news(office.laptop.id, None)).config
        told = msgspec.json.decode(wire.encode(config), type=wire.Config)
        # The list is the same for all: who is listed itself passes over that.
        return {each.name for each in told.neighbours if each.role == "direct"} - {"laptop"}

    assert await direct_neighbours() == {"desk"}
    backend.heard.commits.clear()
    third = await backend.peer(office.network, "third")
    assert [commit.audience for commit in backend.heard.commits] == [Audience.EVERYONE]
    assert await direct_neighbours() == set()
    await backend.peers.delete(ADA, third.id, None, force=False)
    assert [commit.audience for commit in backend.heard.commits] == [Audience.EVERYONE] * 2
    assert await direct_neighbours() == {"desk"}
    shared = (await backend.network_now(office.network.id)).shared_revision
    assert shared == await office.revision()
    await backend.peer(office.network, "phone", Kind.STATIC)
    assert await direct_neighbours() == {"desk"}
