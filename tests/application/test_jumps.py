"""A dead jump peer's place is taken, on what agents report, and on nothing less."""

from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest

from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import networks
from tests.application.backend import ADA, BOTH_DATABASES, Backend
from tests.application.reporting import let_pass, on, to, unix


@dataclass
class Office:
    """A network with three jump peers and two laptops. Hosts in `speaking` beat, and shake hands with jump peers that
    are not in `dead`; laptops that find theirs dead move to another one by themselves, and say so."""

    backend: Backend
    network: Network
    jumps: list[Peer]
    laptops: list[Peer]
    dead: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    uses: dict[str, str] = field(default_factory=dict)
    moves: bool = True

    async def live(self, seconds: float) -> None:
        """Everybody goes on for a while: a heartbeat each 15 s, handshakes each two minutes."""
        for elapsed in range(0, int(seconds), 5):
            if elapsed % 15 == 0:
                await self._beat()
            await let_pass(self.backend, 5, step=1)

    async def _beat(self) -> None:
        for jump in self.jumps:
            if jump.name not in self.dead | self.mute:
                await self.backend.beat(jump)
        primary = await self.primary()
        for laptop in self.laptops:
            if laptop.name in self.mute:
                continue
            reports: tuple[wire.PeerReport, ...] = ()
            ways: tuple[wire.PathReport, ...] = ()
            if (handshake := self._handshake(primary)) is not None:
                reports = (on(primary, str(primary.endpoint), latest_handshake=handshake),)
            elif self.moves:
                way = next(jump for jump in self.jumps if jump.name not in self.dead)
                ways = (to(primary, via=way),)
            await self.backend.beat(laptop, peers=reports, paths=ways)

    def _handshake(self, jump: Peer) -> int | None:
        """The latest of those that come every two minutes."""
        now = unix(self.backend)
        return None if jump.name in self.dead else now - now % 120

    async def primary(self) -> Peer:
        return (await self.backend.paths.primaries([self.network.id]))[self.network.id]

    async def name(self) -> str:
        return (await self.primary()).name


@pytest.fixture
async def office(backend: Backend) -> Office:
    network = await backend.network()
    jumps = [
        await backend.enrolled(network, name, Kind.JUMP, endpoint=f"198.51.100.{number}:51820")
        for number, name in enumerate(("gw", "second", "third"), 1)
    ]
    laptops = [await backend.enrolled(network, name) for name in ("laptop", "desk")]
    made = Office(backend, network, jumps, laptops)
    await made.live(60)
    backend.heard.commits.clear()
    return made


@BOTH_DATABASES
async def test_the_next_live_jump_peer_takes_over_within_45_seconds_and_keeps_the_place(office: Office) -> None:
    backend = office.backend
    office.dead = {"gw"}
    await office.live(45)
    assert await office.name() == "second"
    (commit,) = [commit for commit in backend.heard.commits if not commit.changed]
    assert (commit.audience, commit.at.primary_id) == (Audience.EVERYONE, office.jumps[1].id)
    row = (await backend.changes(office.network.id))[-1]
    assert (row.event, row.audience, row.revision) == ("network.primary", Audience.EVERYONE, commit.at.revision)
    (audited,) = [row for row in await backend.audit() if row.action == "network.primary"]
    assert (audited.actor, audited.facts) == ("server", {"dead": "gw", "primary": "second"})
    office.dead = set()
    await office.live(900)
    assert await office.name() == "second"
    assert len([row for row in await backend.changes(office.network.id) if row.event == "network.primary"]) == 1


async def test_everybody_is_told_the_same_new_primary(office: Office) -> None:
    office.dead = {"gw"}
    await office.live(45)
    for laptop in office.laptops:
        config = (await office.backend.agents.news(laptop.id, None)).config
        told = msgspec.json.decode(wire.encode(config), type=wire.Config)
        roles = {each.name: each.role for each in told.neighbours if each.role != "direct"}
        assert roles == {"second": "primary", "gw": "standby", "third": "standby"}


async def test_a_jump_peer_that_is_cut_off_from_the_server_and_forwards_keeps_its_place(office: Office) -> None:
    office.mute = {"gw"}
    await office.live(1800)
    assert await office.name() == "gw"


async def test_idle_peers_are_moved_once_their_sessions_have_ended(office: Office) -> None:
    office.dead, office.moves = {"gw"}, False
    await office.live(120)
    await office.live(120)
    assert await office.name() == "second"


async def test_a_dead_standby_moves_nobody_and_is_passed_over(office: Office) -> None:
    office.dead = {"second"}
    await office.live(300)
    assert await office.name() == "gw"
    office.dead = {"gw", "second"}
    await office.live(45)
    assert await office.name() == "third"


async def test_the_second_may_die_right_after_the_first(office: Office) -> None:
    office.dead = {"gw"}
    await office.live(45)
    office.dead = {"gw", "second"}
    await office.live(45)
    assert await office.name() == "third"
    office.dead = {"third"}
    await office.live(45)
    assert await office.name() == "gw"


async def test_where_all_are_dead_nothing_moves(office: Office) -> None:
    office.dead, office.moves = {"gw", "second", "third"}, False
    before = (await office.backend.network_now(office.network.id)).revision
    await office.live(600)
    assert (await office.backend.network_now(office.network.id)).revision == before


async def test_without_an_agent_that_speaks_nobody_is_judged(office: Office) -> None:
    office.dead, office.mute = {"gw"}, {"laptop", "desk"}
    await office.live(600)
    assert await office.name() == "gw"


async def test_a_server_that_stood_still_gives_agents_time_to_come_back(office: Office) -> None:
    office.backend.clock.turn(timedelta(minutes=10))
    for _ in range(40):
        # What they said before is old, and they have not come to saying anything new.
        for peer in (*office.jumps[1:], *office.laptops):
            await office.backend.beat(peer)
        await let_pass(office.backend, 1, step=1)
    assert await office.name() == "gw"
    await office.live(60)
    assert await office.name() == "gw"


async def test_a_deleted_primarys_place_falls_to_the_next(office: Office) -> None:
    office.dead = {"gw"}
    await office.live(45)
    await office.backend.peers.delete(ADA, office.jumps[1].id, None, force=False)
    office.jumps = [office.jumps[0], office.jumps[2]]
    assert await office.name() == "gw"
    await office.live(60)
    assert await office.name() == "third"


async def test_an_operator_may_choose(office: Office) -> None:
    backend, update = office.backend, networks.Update(primary_id=office.jumps[2].id)
    await backend.networks.update(ADA, office.network.id, update, None)
    assert await office.name() == "third"
    await office.live(300)
    assert await office.name() == "third"
    await backend.networks.update(ADA, office.network.id, networks.Update(primary_id=None), None)
    assert await office.name() == "gw"
