"""Addresses while many create and delete at once and commits fail: each is given to one, and none gets lost."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from isthmus.domain.addresses import IPAddress
from isthmus.domain.errors import NetworkExhausted
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.bulk import Create
from isthmus.server.application.peer_steps import Draft
from isthmus.server.ports import Store, StoreUnavailable, Transaction
from isthmus.server.records import Commit
from tests.application.backend import ADA, BOTH_DATABASES, Backend

CALLERS = 50
ROUNDS = 4
CIDR = IPv4Network("10.20.0.0/24")


class Faltering:
    """A store whose transactions fail at their commit now and then, while `chance` is above 0."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._random = random.Random(1)
        self.chance = 0.0
        self.failed = 0
        self.reading = store.reading
        self.on_written, self.on_map_written = store.on_written, store.on_map_written

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._store.transaction() as tx:
            yield tx
            if self._random.random() < self.chance:
                self.failed += 1
                raise StoreUnavailable("the commit failed")

    async def check(self) -> None:
        await self._store.check()

    async def close(self) -> None:
        await self._store.close()


class Oracle:
    """What the commits must have given, one after the other: the lowest host that nobody holds. The addresses of who
    is deleted stay held, for the clock stands still."""

    def __init__(self) -> None:
        self._held: set[IPAddress] = set()
        self.live: dict[PeerId, Peer] = {}

    def follow(self, commit: Commit) -> None:
        for peer in commit.changed:
            lowest = next(host for host in CIDR.hosts() if host not in self._held)
            assert peer.addresses[0] == lowest
            assert not self._held.intersection(peer.addresses)
            self._held.update(peer.addresses)
            self.live[peer.id] = peer
        for peer_id in commit.removed:
            del self.live[peer_id]


async def come_and_go(backend: Backend, network: Network, caller: int) -> None:
    """Create peers and delete some of them; whatever fails is left as it is."""
    chance = random.Random(caller)
    for number in range(ROUNDS):
        with contextlib.suppress(StoreUnavailable):
            peer = await backend.peer(network, f"peer-{caller}-{number}")
            if chance.random() < 0.4:
                await backend.peers.delete(ADA, peer.id, None, force=False)


@pytest.mark.case("MESH-001")
@BOTH_DATABASES
async def test_addresses_stay_unique_and_none_leaks_while_commits_fail(store: Store, tmp_path: Path) -> None:
    faltering = Faltering(store)
    backend = Backend(faltering, tmp_path)
    await backend.prepare()
    network = await backend.network(cidr_v4=str(CIDR))
    backend.heard.commits.clear()
    faltering.chance = 0.2
    await asyncio.gather(*(come_and_go(backend, network, caller) for caller in range(CALLERS)))
    faltering.chance = 0.0
    assert faltering.failed > CALLERS / 2

    oracle = Oracle()
    for commit in sorted(backend.heard.commits, key=lambda each: each.at.revision):
        oracle.follow(commit)
    assert len(oracle.live) > CALLERS
    assert {peer.id: peer.addresses for peer in await backend.peers_of(network.id)} == {
        peer_id: peer.addresses for peer_id, peer in oracle.live.items()
    }

    # With every quarantine over, all that no living peer holds can be given out, to the last address.
    backend.clock.turn(timedelta(hours=2))
    free = set(CIDR.hosts()) - {peer.addresses[0] for peer in oracle.live.values()}
    rows = await backend.bulk.run(ADA, network.id, [Create(Draft(f"more-{number}")) for number in range(len(free))])
    assert {IPv4Address(str(row.peer.addresses[0])) for row in rows} == free
    with pytest.raises(NetworkExhausted):
        await backend.peer(network, "one-too-many")
