"""Changes of a host's lookups: what was there is on disk before it is changed, and a failure costs the names alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.agent.apply import Applier
from isthmus.agent.naming import Naming
from isthmus.agent.observed import Lookups
from isthmus.agent.state import Applied, Identity, ResolvConf, StateDir
from isthmus.domain.addresses import IPAddress
from isthmus.protocol.agent import Dns
from tests.agent.builders import ALIAS, INTERFACE, OWN_KEY, a_config, a_gateway, around
from tests.agent.test_worker import StandInHost

FORMER = ResolvConf("/etc/resolv.conf", "nameserver 192.0.2.53\n")
CONFIG = a_config(a_gateway(), dns=Dns("office.internal", ("10.20.0.0/16", "fd00:20::/64"), ("10.20.0.1",)))


class StandInLookups:
    """A host with a resolv.conf; `problem` is raised when it is to be changed. It keeps what was on disk then."""

    def __init__(self, state: StateDir) -> None:
        self.problem: OSError | None = None
        self.listed: tuple[IPAddress, ...] = ()
        self.on_disk: list[ResolvConf | None] = []
        self.unserved: tuple[str, ...] = ()
        self._state = state

    async def observe(self, interface: str) -> Lookups:
        return Lookups("resolv-conf", listed=self.listed)

    def before_listing(self, interface: str, earlier: ResolvConf | None) -> ResolvConf:
        return FORMER

    def list_servers(self, interface: str, servers: Sequence[IPAddress], former: ResolvConf) -> None:
        self._change(tuple(servers))

    def unlist_servers(self, interface: str, former: ResolvConf | None) -> None:
        self._change(())

    async def serve(self, interface: str, naming: Naming | None) -> tuple[str, ...]:
        return self.unserved if naming is not None else ()

    def _change(self, servers: tuple[IPAddress, ...]) -> None:
        self.on_disk.append(self._state.undo().resolv_conf)
        if self.problem is not None:
            raise self.problem
        self.listed = servers


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path)
    state.save_identity(Identity("https://isthmus.example.com", ALIAS[8:], "me", "n-1", "office", "token"))
    return state


@pytest.fixture
def lookups(state: StateDir) -> StandInLookups:
    return StandInLookups(state)


@pytest.fixture
def applier(state: StateDir, lookups: StandInLookups) -> Applier:
    stand_in: Any = lookups
    return Applier(INTERFACE, OWN_KEY, state, replace(around(StandInHost()), resolver=stand_in, names=stand_in))


async def test_what_was_there_is_kept_until_it_is_back(
    applier: Applier, lookups: StandInLookups, state: StateDir
) -> None:
    assert (await applier.apply(Applied(1, CONFIG))).remarks == ()
    assert lookups.listed != ()
    await applier.apply(Applied(2, a_config(a_gateway(), dns=None)))
    assert lookups.listed == ()
    assert lookups.on_disk == [FORMER, FORMER]
    assert state.undo().resolv_conf is None


async def test_a_file_that_cannot_be_written_is_a_remark_and_the_config_holds(
    applier: Applier, lookups: StandInLookups, state: StateDir
) -> None:
    lookups.problem = OSError(30, "Read-only file system")
    done = await applier.apply(Applied(1, CONFIG))
    assert done.remarks == ("could not ask 10.20.0.1 first, by /etc/resolv.conf: [Errno 30] Read-only file system",)
    assert applier.revision == 1
    assert state.undo().resolv_conf == FORMER, "half a change may have been made"
    lookups.problem = None
    assert (await applier.apply(Applied(1, CONFIG))).remarks == ()
    await applier.apply(Applied(2, a_config(a_gateway(), dns=None)))
    assert (lookups.listed, state.undo().resolv_conf) == ((), None)


async def test_names_that_cannot_be_answered_are_a_remark(applier: Applier, lookups: StandInLookups) -> None:
    lookups.unserved = ("names are not answered on 10.20.0.1 port 53: Address already in use",)
    assert (await applier.apply(Applied(1, CONFIG))).remarks == lookups.unserved
    assert applier.revision == 1
