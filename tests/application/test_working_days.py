"""A thousand working days of roaming laptops, phones behind carrier NAT, restarts and a jump peer that begins anew."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count

import pytest

from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.records import IncidentFilter
from tests.application.backend import ALL, Backend
from tests.application.speaking import Voice, a_host, saw

PEERS, DAYS = 20, 50
APART = timedelta(hours=24)  # each trace is a day by itself: no window reaches from one into the next
STARTS = count(1_700_000_000)


@dataclass
class Host:
    """One peer's host on its way through a day. `moves` are the minutes at which it goes elsewhere."""

    peer: Peer
    session: str
    voice: Voice
    chance: random.Random
    port: int = 40_000
    moves: list[int] = field(default_factory=list)

    def plan(self) -> None:
        """Home, train, office, perhaps a cafe, train, home: at most seven changes, some of them for minutes only."""
        self.moves = sorted(self.chance.sample(range(5, 470), self.chance.choice([0, 2, 3, 4, 6, 7])))

    def minute(self, now: int) -> None:
        if now in self.moves:
            network = self.chance.randrange(1, 250)
            self.voice.source = f"198.{self.chance.randrange(18, 20)}.{network}.{self.chance.randrange(1, 255)}"
            self.port = self.chance.randrange(1024, 65_536)
        elif self.chance.random() < 0.01:
            self.port = self.chance.randrange(1024, 65_536)
        if self.chance.random() < 0.002:
            boot = f"boot-{next(STARTS)}" if self.chance.random() < 0.3 else self.voice.host.boot_id
            self.voice.host = replace_host(self.voice.host, boot, next(STARTS))

    @property
    def endpoint(self) -> str:
        return f"{self.voice.source}:{self.port}"


def replace_host(host: wire.Host, boot: str, started_at: int) -> wire.Host:
    return a_host(host.machine_id, boot, started_at)


def minutes_of_a_day() -> Iterator[int]:
    """Every fourth minute: of what happens in between each host sees no more than one thing."""
    return iter(range(0, 480, 4))


async def hosts_of(backend: Backend) -> tuple[Voice, list[Host]]:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    hosts = []
    for number in range(PEERS):
        enrolled = await backend.enroll(await backend.created(network, f"peer-{number}"))
        voice = Voice(backend, enrolled.peer.id, f"198.18.0.{number + 1}", a_host(f"machine-{number}"))
        hosts.append(Host(enrolled.peer, enrolled.session_token, voice, random.Random(number)))
    return Voice(backend, gw.id, "203.0.113.1", a_host("gw")), hosts


async def live_a_day(backend: Backend, jump: Voice, hosts: list[Host], chance: random.Random) -> None:
    for host in hosts:
        host.plan()
    anew = chance.randrange(480)
    for minute in minutes_of_a_day():
        for host in hosts:
            host.moves = [minute if minute <= move < minute + 4 else move for move in host.moves]
            host.minute(minute)
            await host.voice.beat()
        if minute <= anew < minute + 4:
            # The interface was made anew: nobody has an endpoint until it speaks again.
            await jump.beat(*(saw(host.peer, None, handshake=0) for host in hosts))
        else:
            await jump.beat(*(saw(host.peer, host.endpoint) for host in hosts))
        backend.clock.turn(timedelta(minutes=4))
    statuses = await backend.agents.statuses([host.peer.id for host in hosts])
    for host in hosts:
        assert statuses[host.peer.id].endpoint == host.endpoint, "the endpoint follows"


@pytest.mark.case("MESH-007")
@pytest.mark.timeout(300)
async def test_a_thousand_working_days_block_nobody_and_open_next_to_nothing(backend: Backend) -> None:
    jump, hosts = await hosts_of(backend)
    chance = random.Random(7)
    for _ in range(DAYS):
        await live_a_day(backend, jump, hosts, chance)
        backend.clock.turn(APART)
    assert PEERS * DAYS == 1_000
    await backend.incidents.drain()
    found = [incident for incident, _ in await backend.incidents.page(ALL, IncidentFilter())]
    assert len(found) <= 1, found
    for host in hosts:
        assert not (await backend.peer_now(host.peer.id)).blocked
        assert await backend.agents.authenticate(host.session) == host.peer.id
    assert [entry.action for entry in await backend.audit() if entry.outcome == "denied"] == []

    # The same eyes see a theft.
    victim = hosts[0].voice
    thief = replace(victim, source="203.0.113.77", host=a_host("thief", "boot-9", 5))
    for voice in (victim, thief):
        await voice.beat()
    with pytest.raises(Exception, match="another agent uses the same session"):
        await victim.beat()
