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
from isthmus.agent.lease import Lease
from isthmus.agent.state import Heard, Identity, StateDir
from isthmus.agent.worker import Worker
from isthmus.protocol.agent import Bridged, Config
from isthmus.wireguard.keys import PublicKey
from tests.agent.bridges import REMOTE
from tests.agent.builders import ALIAS, INTERFACE, OWN_KEY, a_config, a_gateway, a_key, around
from tests.agent.test_worker import QUICK, StandInHost

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
    async def agent(self) -> AsyncIterator[Worker]:
        applier = Applier(INTERFACE, OWN_KEY, self.state, around(self.host))
        applier.lease = self.lease()
        worker = Worker(applier, replace(QUICK, retry_apply=0.05))
        worker.recheck()
        running = asyncio.ensure_future(worker.run())
        try:
            yield worker
        finally:
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


@pytest.mark.case("DATA-009")
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


@pytest.mark.case("DATA-009")
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
