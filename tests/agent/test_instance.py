"""The leaf of a host's instance: asked for, renewed at half of its life, and never lost for a worse one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from isthmus.agent.errors import InstanceRefused, SessionEnded, Unreachable
from isthmus.agent.instance import InstanceLeaf, Keeper
from isthmus.agent.pace import Pace
from isthmus.agent.state import StateDir
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId, instance_uri
from isthmus.protocol.agent import InstanceAnswer
from isthmus.x509.authority import Wanted, make_authority
from isthmus.x509.request import read_request
from tests.builders import NOON
from tests.x509.forge import INSTANCE

DAY = timedelta(hours=24)
AUTHORITY = make_authority("a.example", NOON - timedelta(days=1))
WANTED = Wanted(instance_uri(BackendDomain("a.example"), InstanceId(INSTANCE)), (InfraDomain("infra.a.example"),))
# All pauses as short as can be; what is waited for is a state, never a time.
QUICK = Pace(lambda low, high: 0.0, look_at_instance=0.001)


@dataclass
class Server:
    """Answers with a leaf, or raises what is first in `troubles`."""

    time: datetime = NOON
    troubles: list[Exception] = field(default_factory=list)
    issued: int = 0
    asked: int = 0

    def now(self) -> datetime:
        return self.time

    async def instance(self, csr: str) -> InstanceAnswer:
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)
        self.issued += 1
        made = AUTHORITY.certify(read_request(csr), WANTED, self.time, DAY)
        return InstanceAnswer(str(INSTANCE), "web.office", made.chain.decode())


@pytest.fixture
def leaf(tmp_path: Path) -> InstanceLeaf:
    return InstanceLeaf(tmp_path / "instance")


async def kept(leaf: InstanceLeaf, server: Server, until: Callable[[], bool]) -> None:
    """Run a keeper until that is so."""
    running = asyncio.create_task(Keeper(leaf, server, QUICK, server.now).run())
    try:
        async with asyncio.timeout(20):
            await until_true(until)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until_true(holds: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if holds():
            return
        await asyncio.sleep(0.002)


async def looked(leaf: InstanceLeaf, server: Server) -> None:
    """Let a keeper look several times."""
    running = asyncio.create_task(Keeper(leaf, server, QUICK, server.now).run())
    for _ in range(20):
        await asyncio.sleep(0.002)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_host_that_asked_for_no_instance_gets_none(leaf: InstanceLeaf) -> None:
    server = Server()
    await looked(leaf, server)
    assert (server.asked, leaf.folder.exists()) == (0, False)


async def test_a_leaf_is_renewed_once_half_of_its_life_is_over(leaf: InstanceLeaf) -> None:
    server = Server()
    leaf.want()
    await kept(leaf, server, lambda: server.issued == 1 and leaf.present() is not None)
    first = leaf.present()
    server.time += timedelta(hours=11, minutes=50)
    await looked(leaf, server)
    assert (server.asked, leaf.present()) == (1, first)
    server.time += timedelta(minutes=20)
    await kept(leaf, server, lambda: leaf.present() != first)
    second = leaf.present()
    assert first is not None
    assert second is not None
    # Another key as well.
    assert (second.uris, second.key == first.key) == (first.uris, False)
    assert leaf.folder.stat().st_mode & 0o777 == 0o700
    assert (leaf.folder / "key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "trouble", [Unreachable("away"), InstanceRefused("federation is not set up"), SessionEnded(), OSError("disk full")]
)
async def test_a_trouble_passes_and_the_present_leaf_stays_until_then(leaf: InstanceLeaf, trouble: Exception) -> None:
    server = Server()
    leaf.want()
    await kept(leaf, server, lambda: leaf.present() is not None)
    first = leaf.present()
    server.time += timedelta(hours=13)
    server.troubles = [trouble] * 3
    await kept(leaf, server, lambda: leaf.present() != first)
    assert server.asked == 5


async def test_a_damaged_pair_is_replaced(leaf: InstanceLeaf) -> None:
    server = Server()
    leaf.want()
    await kept(leaf, server, lambda: leaf.present() is not None)
    (leaf.folder / "current" / "chain.pem").write_text("half a cert")
    assert leaf.present() is None
    await kept(leaf, server, lambda: leaf.present() is not None)


async def test_a_leaf_for_another_key_is_not_taken(leaf: InstanceLeaf) -> None:
    server = Server()
    leaf.want()
    await leaf.renew(server)
    first = leaf.present()

    class Confused(Server):
        async def instance(self, csr: str) -> InstanceAnswer:
            made = AUTHORITY.issue(WANTED, self.time, DAY)
            return InstanceAnswer(str(INSTANCE), "web.office", made.chain.decode())

    with pytest.raises(Unreachable, match="of no use"):
        await leaf.renew(Confused())
    assert leaf.present() == first


async def test_nothing_of_it_stays_on_a_host_that_leaves(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.make()
    leaf = InstanceLeaf(state.instance)
    leaf.want()
    await leaf.renew(Server())
    state.clear()
    assert not state.path.exists()
