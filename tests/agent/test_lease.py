"""The lease of bridges: what they opened ends with it, on this host alone, and nothing else does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from isthmus.agent.apply import Applier
from isthmus.agent.beats import Beats
from isthmus.agent.errors import Blocked, Unreachable
from isthmus.agent.lease import Lease
from isthmus.agent.loop import Agent
from isthmus.agent.state import Applied, Heard, Identity, StateDir
from isthmus.agent.steps import DropRules, LoadRules
from isthmus.agent.worker import Worker
from isthmus.protocol import agent as wire
from isthmus.protocol.agent import Bridged, Config, FlowReport
from isthmus.wireguard.keys import PublicKey
from tests.agent.bridges import REMOTE, a_crossing, a_flow, an_id, bridged
from tests.agent.builders import (
    ALIAS,
    INTERFACE,
    OWN_KEY,
    a_config,
    a_gateway,
    a_key,
    a_neighbour,
    around,
    carried_out,
)
from tests.agent.test_worker import QUICK, ScriptedServer, ScriptedStream, StandInHost

pytestmark = pytest.mark.timeout(30)

GATEWAY = PublicKey.parse(a_key(1))
SECONDS = 1
MESH = {ip_network("10.20.0.0/16"), ip_network("fd00:20::/64")}


@dataclass
class Station:
    """A host whose clock is set by hand, and the agents on it one after the other."""

    folder: Path
    host: StandInHost = field(default_factory=StandInHost)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.state = StateDir(self.folder)
        self.state.save_identity(Identity("https://isthmus.example.com", ALIAS[8:], "me", "n-1", "office", "token"))

    def lease(self) -> Lease:
        return Lease(self.state, lambda: self.now)

    @asynccontextmanager
    async def agent(self, *, runs: bool = True) -> AsyncIterator[Worker]:
        applier = Applier(INTERFACE, OWN_KEY, self.state, around(self.host))
        applier.lease = self.lease()
        worker = Worker(applier, replace(QUICK, retry_apply=0.05))
        worker.recheck()
        running = asyncio.ensure_future(worker.run()) if runs else None
        try:
            yield worker
        finally:
            if running is not None:
                running.cancel()

    @property
    def reaches(self) -> set[Any]:
        """What leads to the gateway."""
        wireguard = self.host.host.wireguard
        return set(wireguard.peers[GATEWAY].allowed_ips) if wireguard and wireguard.peers else set()

    @property
    def is_open(self) -> bool:
        return self.reaches > MESH

    @property
    def is_shut(self) -> bool:
        routes = {route.destination for route in self.host.host.routes}
        return self.reaches == MESH == routes


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def a_bridged(**changes: Any) -> Config:
    return a_config(a_gateway(), bridged=Bridged(SECONDS, REMOTE), **changes)


async def until(true: Callable[[], object]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_bridges_shut_when_the_server_is_silent_and_open_with_its_next_word(station: Station) -> None:
    async with station.agent() as worker:
        worker.heard()
        worker.take(1, a_bridged())
        await until(lambda: station.is_open)
        # As long as it is heard nothing is done, whatever the time.
        for _ in range(30):
            station.now += 0.9
            worker.heard()
            await asyncio.sleep(0.05)
            assert station.is_open
        station.now += 1.1
        await until(lambda: station.is_shut)
        assert worker.applier.revision == 1, "it is the same config"
        worker.heard()
        await until(lambda: station.is_open)


async def test_a_restarted_agent_has_what_is_left_of_the_lease(station: Station) -> None:
    async with station.agent() as worker:
        worker.heard()
        worker.take(1, a_bridged())
        await until(lambda: station.is_open)
        worker.heard()
    station.now += 0.5
    async with station.agent() as worker:
        await worker.applier.settle()
        await until(lambda: worker.applier.lease_left == 0.5)
        assert station.is_open, "and never was anything else"
        station.now += 0.6
        await until(lambda: station.is_shut)
    async with station.agent() as worker:
        await asyncio.sleep(0.1)
        assert station.is_shut


async def test_nothing_is_opened_before_the_server_was_heard(station: Station) -> None:
    async with station.agent() as worker:
        worker.take(1, a_bridged())
        await until(lambda: station.is_shut)
        worker.heard()
        await until(lambda: station.is_open)


async def test_a_host_that_cannot_do_what_it_is_told_keeps_bridges_no_longer_than_their_lease(station: Station) -> None:
    async with station.agent() as worker:
        worker.heard()
        worker.take(1, a_bridged())
        await until(lambda: station.is_open)
        # This might be the end of the bridge; nobody here can tell.
        worker.take(2, a_bridged(mtu=9))
        await until(lambda: worker.has_failed)
        for _ in range(5):
            worker.heard()
            station.now += 0.3
        await until(lambda: station.is_shut)
        assert worker.applier.revision == 1
        worker.take(3, a_bridged())
        worker.heard()
        await until(lambda: worker.applier.revision == 3)
        worker.heard()
        await until(lambda: station.is_open)


def test_a_lease_ends_with_the_boot_in_which_it_was_given(station: Station) -> None:
    assert station.lease().left(60) < 0
    lease = station.lease()
    lease.renew()
    lease.keep()
    assert station.lease().left(60) == 60
    heard = station.state.heard()
    assert heard is not None
    station.state.save_heard(Heard("another boot", heard.at))
    assert station.lease().left(60) < 0
    station.state.save_heard(Heard(heard.boot_id, heard.at + 5000))
    assert station.lease().left(60) < 0, "a time to come is none"
    (station.folder / "heard.json").write_bytes(b"")
    assert station.lease().left(60) < 0, "nor is what a crash has left"


def test_the_time_is_written_down_now_and_then_and_never_promises_more(station: Station) -> None:
    lease, written = station.lease(), set()
    for _ in range(100):
        station.now += 1
        lease.renew()
        lease.keep()
        heard = station.state.heard()
        assert heard is not None
        written.add(heard.at)
        assert 0 <= lease.left(60) - station.lease().left(60) <= 10
    assert len(written) == 10


@dataclass
class Gateway(StandInHost):
    """A stand-in that takes rules, and has counted something by each counter in them."""

    async def load(self, script: str) -> None:
        step = LoadRules(script) if "comment" in script else DropRules(script)
        self.host = carried_out((step,), self.host)

    def enable_forwarding(self, family: int) -> None:
        self.host = replace(self.host, forwards=frozenset({4, 6}))

    def before_forwarding(self, family: int) -> dict[str, str]:
        return {}

    def counters(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(self.host.table.counters, (3, 300))


async def test_the_gateway_tells_what_passed_by_each_flow_while_its_bridge_is_open(station: Station) -> None:
    station.host = Gateway()
    flows = (
        a_flow(),
        a_flow(destination="10.20.0.4"),
        a_flow(id="ingress", destination="10.20.9.9"),
        a_flow(id="remote-ingress", destination="10.30.9.9", sources=("10.20.0.0/16",)),
    )
    async with station.agent() as worker:
        worker.heard()
        worker.take(1, a_config(a_neighbour(1), listen_port=51820, bridged=bridged(a_crossing(*flows), lease=SECONDS)))
        await until(lambda: worker.applier.revision == 1)
        beat = await Beats(worker.applier, QUICK).heartbeat("n")
        ways = (an_id(0xF1), "ingress", "remote-ingress")
        assert beat.flows == tuple(FlowReport(an_id(0xB1), flow, 3, 300) for flow in ways)
        station.now += 1.1
        await until(lambda: worker.applier.is_shut)
        assert not station.host.host.table.counters
        assert (await Beats(worker.applier, QUICK).heartbeat("n")).flows == ()


@pytest.mark.parametrize("word", [wire.Unchanged(1), wire.Ack("n"), wire.Refused("replay_detected", "", None)])
async def test_every_message_on_a_stream_is_a_word_of_the_server(station: Station, word: wire.FromServer) -> None:
    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(word)

    await opened_by(station, ScriptedServer(serve))


async def test_an_answer_over_https_is_a_word_of_the_server(station: Station) -> None:
    async def serve(stream: ScriptedStream) -> None:
        raise AssertionError("no stream is opened here")

    await opened_by(station, ScriptedServer(serve, refuses_streams=True, config=wire.ConfigAnswer(1, "n", 0)))


@pytest.mark.parametrize("problem", [Blocked("blocked by incident i-1", "i-1"), Unreachable("the connection broke")])
async def test_neither_a_block_nor_a_broken_connection_is_one(station: Station, problem: Exception) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(problem)
        if len(server.revisions) > 3:
            seen.set()

    server = ScriptedServer(serve)
    with pytest.raises(TimeoutError):
        await opened_by(station, server, seen)
    assert station.is_shut


async def opened_by(station: Station, server: ScriptedServer, enough: asyncio.Event | None = None) -> None:
    """Run an agent that comes with a bridge whose lease is over until that is open; TimeoutError when it saw enough."""
    station.state.save_applied(Applied(1, a_bridged()))
    async with station.agent(runs=False) as worker:
        pace = replace(QUICK, blocked=0.02)
        agent = Agent(server, worker, pace, lambda contact: None, lambda token: None)
        running = asyncio.ensure_future(agent.run())
        try:
            await until(lambda: station.is_open or (enough is not None and enough.is_set()))
        finally:
            running.cancel()
        if not station.is_open:
            raise TimeoutError
