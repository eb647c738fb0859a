"""The change of a key on the host: wherever it is interrupted, the host ends with the key that others know it by."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from isthmus.agent.apply import MISTAKEN, Applier
from isthmus.agent.handshakes import PAUSES
from isthmus.agent.observed import HostState
from isthmus.agent.plan import plan, unanswered
from isthmus.agent.state import Applied, Identity, StateDir
from isthmus.agent.steps import ConfigureWireGuard, Step
from isthmus.agent.worker import Worker
from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.keys import PrivateKey, PublicKey
from tests.agent.builders import (
    ALIAS,
    INTERFACE,
    OWN_KEY,
    a_config,
    a_gateway,
    a_neighbour,
    a_target,
    around,
    carried_out,
    desired,
)
from tests.agent.test_worker import QUICK, StandInHost


class Crash(Exception):
    """Stands for the end of the process at this point."""


@dataclass
class Machine:
    """A host whose agent can die at any step and starts again from its files."""

    state: StateDir
    host: StandInHost = field(default_factory=StandInHost)

    def started(self) -> Applier:
        key = self.state.private_key()
        assert key is not None
        return Applier(INTERFACE, key, self.state, around(self.host))

    @property
    def on_interface(self) -> PublicKey | None:
        assert self.host.host.wireguard is not None
        return self.host.host.wireguard.public_key


@pytest.fixture
async def machine(tmp_path: Path) -> Machine:
    """Runs with its first key, which the config names."""
    machine = Machine(StateDir(tmp_path))
    machine.state.make_private_key()
    machine.state.save_identity(Identity("https://isthmus.example.com", ALIAS[8:], "me", "n-1", "office", "token"))
    applier = machine.started()
    await applier.apply(named(1, applier.keys.present.public()))
    return machine


def named(revision: int, key: PublicKey) -> Applied:
    return Applied(revision, a_config(a_gateway(), public_key=str(key)))


def dying_at(machine: Machine, name: str) -> Callable[[], None]:
    """Have a step of the state directory or the host end the process instead; returns what undoes that."""
    place = machine.host if name in {"change", "observe"} else machine.state
    former = getattr(place, name)

    def die(*_: object, **__: object) -> None:
        raise Crash(name)

    setattr(place, name, die)
    return lambda: setattr(place, name, former)


# Each step of a rotation, as what it leaves undone when the process dies in it.
STEPS = ["make_next_key", "observe", "adopt_next_key", "change", "save_applied"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_ends_with_the_key_that_the_server_knows(machine: Machine, step: str) -> None:
    first, mend = machine.on_interface, dying_at(machine, step)
    applier, made = machine.started(), list[PublicKey]()

    async def rotate() -> None:
        made.append(applier.keys.make_next())
        await applier.apply(named(2, made[0]))

    with pytest.raises(Crash):
        await rotate()
    mend()

    # Without its server, a host whose key nobody has named goes on with the old one.
    again = machine.started()
    assert again.applied is not None
    await again.apply(again.applied)
    if step in {"make_next_key", "adopt_next_key"}:
        assert machine.on_interface == first
    else:
        assert machine.on_interface == made[0], "the server has named the new key, so the others know no other"

    # It is asked again, or told again what its key is: either way it gets there.
    told = made[0] if made else again.keys.make_next()
    await again.apply(named(2, told))
    assert machine.on_interface == told
    key = machine.state.private_key()
    assert key is not None
    assert key.public() == told
    assert machine.state.next_key() is None
    assert machine.started().keys.present.public() == told


async def test_a_key_that_was_told_is_told_again_after_a_restart(machine: Machine) -> None:
    told = machine.started().keys.make_next()
    assert machine.started().keys.make_next() == told
    assert machine.on_interface != told
    file = machine.state.path / "next.key"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_config_under_the_old_key_leaves_the_next_one_waiting(machine: Machine) -> None:
    applier = machine.started()
    told, first = applier.keys.make_next(), applier.keys.present.public()
    await applier.apply(named(2, first))
    assert machine.on_interface == first
    assert applier.keys.make_next() == told
    assert await applier.plan(named(3, told)) != await applier.plan(named(3, first))
    assert applier.keys.present.public() == first, "to plan changes nothing"


async def test_a_config_for_a_key_that_is_not_here_is_told(machine: Machine) -> None:
    applier = machine.started()
    done = await applier.apply(named(2, PrivateKey.generate().public()))
    assert MISTAKEN in done.remarks
    assert machine.on_interface == applier.keys.present.public()
    assert (await applier.apply(named(3, applier.keys.present.public()))).remarks == ()


async def test_leaving_takes_both_keys_away(machine: Machine) -> None:
    machine.started().keys.make_next()
    machine.state.clear()
    assert not machine.state.path.exists()


def the_change(steps: tuple[Step, ...]) -> InterfaceChange:
    (step,) = [each for each in steps if isinstance(each, ConfigureWireGuard)]
    return step.change


CONFIG = desired(a_gateway(), a_neighbour(5))
RUNNING = carried_out(plan(CONFIG, HostState(), a_target()).steps, HostState())
NEXT_KEY = PrivateKey.generate()


def test_with_another_key_this_host_begins_its_sessions_at_once_and_keeps_all_else() -> None:
    change = the_change(plan(CONFIG, RUNNING, a_target(CONFIG, private_key=NEXT_KEY)).steps)
    gateway = PublicKey.parse(a_gateway().public_key)
    assert change.private_key == NEXT_KEY
    assert [(peer.public_key, peer.remove) for peer in change.peers] == [(gateway, True), (gateway, False)]
    # Once more with an endpoint that the gateway has moved to: that one is kept.
    assert RUNNING.wireguard is not None
    moved = replace(RUNNING.wireguard.peers[gateway], endpoint=Endpoint("203.0.113.5", 4242))
    peers = {**RUNNING.wireguard.peers, gateway: moved}
    host = replace(RUNNING, wireguard=replace(RUNNING.wireguard, peers=peers))
    steps = plan(CONFIG, host, a_target(CONFIG, private_key=NEXT_KEY)).steps
    after = carried_out(steps, host).wireguard
    assert after is not None
    assert (after.public_key, after.peers) == (NEXT_KEY.public(), peers)


def test_a_first_key_takes_no_neighbour_away() -> None:
    change = the_change(plan(CONFIG, HostState(), a_target()).steps)
    assert change.private_key == OWN_KEY
    assert not any(peer.remove for peer in change.peers)


def test_a_handshake_is_begun_anew_with_those_that_never_answered_and_that_this_host_calls() -> None:
    state = RUNNING.wireguard
    assert state is not None
    gateway = PublicKey.parse(a_gateway().public_key)
    assert {peer.public_key for peer in unanswered(CONFIG, state)} == {gateway}
    answered = {key: replace(peer, latest_handshake=9) for key, peer in state.peers.items()}
    assert unanswered(CONFIG, replace(state, peers=answered)) == ()


async def test_a_neighbour_that_stays_silent_is_tried_again_a_few_times(machine: Machine) -> None:
    applier, host = machine.started(), machine.host
    worker = Worker(applier, replace(QUICK, spread=lambda low, high: 0.01 * low))
    running = asyncio.ensure_future(worker.run())
    before = host.changes
    worker.take(2, named(2, applier.keys.make_next()).config)
    await asyncio.sleep(0.3)
    assert host.changes - before == 1 + len(PAUSES)

    # One that answers is left alone.
    before = host.changes
    worker.take(3, named(3, applier.keys.make_next()).config)
    for _ in range(100):
        await asyncio.sleep(0.001)
        if host.changes > before:
            break
    host.roam(Endpoint("203.0.113.5", 4242))
    await asyncio.sleep(0.2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert host.changes - before == 1
