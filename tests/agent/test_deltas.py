"""Changes of a config: what they do to it, and what an agent does with one that does not fit."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.agent.apply import Applier
from isthmus.agent.deltas import applied
from isthmus.agent.state import Applied, Identity, StateDir
from isthmus.protocol import agent as wire
from tests.agent.builders import ALIAS, INTERFACE, OWN_KEY, a_config, a_gateway, a_key, a_neighbour, around
from tests.agent.test_worker import ScriptedServer, ScriptedStream, StandInHost, until

ONE, TWO, THREE = a_neighbour(1), a_neighbour(2), a_neighbour(3)


def names(config: wire.Config) -> list[str]:
    return [neighbour.name for neighbour in config.neighbours]


def a_delta(since: int, to: int, **fields: Any) -> wire.Delta:
    return wire.Delta(since, to, **fields)


def test_a_delta_replaces_in_place_adds_at_the_end_and_removes() -> None:
    renamed = msgspec.structs.replace(TWO, name="renamed")
    delta = a_delta(1, 2, upsert=(THREE, renamed), remove=(ONE.public_key, a_key(99)))
    assert names(applied(a_config(ONE, TWO), delta)) == ["renamed", "peer-3"]


def test_what_is_removed_and_put_in_anew_stands_last() -> None:
    delta = a_delta(1, 2, upsert=(TWO, ONE), remove=(ONE.public_key, TWO.public_key))
    assert names(applied(a_config(ONE, TWO, THREE), delta)) == ["peer-3", "peer-2", "peer-1"]


def test_fields_that_a_patch_does_not_name_stay() -> None:
    before = a_config(ONE, dns=wire.Dns("office.internal"), listen_port=51820)
    after = applied(before, a_delta(1, 2, frame=wire.Patch(mtu=1300, listen_port=None)))
    assert after == msgspec.structs.replace(before, mtu=1300, listen_port=None)


def test_a_delta_says_the_same_on_the_wire() -> None:
    delta = a_delta(3, 7, upsert=(ONE,), remove=(a_key(9),), frame=wire.Patch(dns=None, routes=("10.0.0.0/8",)))
    text = wire.encode(delta)
    assert text.startswith(b'{"type":"delta","from":3,"to":7,')
    assert wire.decode_from_server(text) == delta
    assert wire.encode(a_delta(3, 7)) == b'{"type":"delta","from":3,"to":7}'


@pytest.fixture
def host() -> StandInHost:
    return StandInHost()


@pytest.fixture
def applier(host: StandInHost, tmp_path: Path) -> Applier:
    state = StateDir(tmp_path)
    state.save_identity(Identity("https://isthmus.example.com", ALIAS[8:], "me", "n-1", "office", "token"))
    return Applier(INTERFACE, OWN_KEY, state, around(host))


@pytest.mark.case("SEED-074")
async def test_changes_are_applied_one_onto_the_other(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(wire.Snapshot(4, a_config(a_gateway())))
        assert (await stream.next(wire.Applied)).revision == 4
        stream.down.put_nowait(a_delta(4, 5, upsert=(ONE,)))
        # Those who share a delta may stand anywhere between its ends: this one begins before 5.
        stream.down.put_nowait(a_delta(2, 6, upsert=(TWO,), remove=(ONE.public_key,)))
        while (outcome := await stream.next(wire.Applied)).revision < 6:
            assert outcome.error is None
        seen.set()

    await until(applier, ScriptedServer(serve), seen)
    assert applier.applied == Applied(6, a_config(a_gateway(), TWO))


@pytest.mark.case("SEED-074")
async def test_a_change_that_comes_twice_is_applied_once(applier: Applier, host: StandInHost) -> None:
    seen = asyncio.Event()
    await applier.apply(Applied(4, a_config(a_gateway())))

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(a_delta(4, 5, upsert=(ONE,)))
        assert (await stream.next(wire.Applied)).revision == 5
        changes = host.changes
        stream.down.put_nowait(a_delta(4, 5, upsert=(ONE,)))
        stream.down.put_nowait(a_delta(3, 4, remove=(ONE.public_key,)))
        await asyncio.sleep(0.1)
        assert host.changes == changes
        assert not [each for each in drained(stream) if not isinstance(each, wire.Heartbeat)]
        seen.set()

    await until(applier, ScriptedServer(serve), seen)
    assert applier.applied == Applied(5, a_config(a_gateway(), ONE))


@pytest.mark.case("SEED-074")
async def test_after_a_gap_the_agent_asks_for_the_whole_and_touches_nothing_before(applier: Applier) -> None:
    seen = asyncio.Event()
    await applier.apply(Applied(4, a_config(a_gateway())))

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(a_delta(5, 6, upsert=(TWO,)))
        await stream.next(wire.Resync)
        assert applier.applied == Applied(4, a_config(a_gateway()))
        stream.down.put_nowait(wire.Snapshot(6, a_config(a_gateway(), ONE, TWO)))
        assert (await stream.next(wire.Applied)).revision == 6
        seen.set()

    await until(applier, ScriptedServer(serve), seen)


async def test_an_agent_without_a_config_takes_no_delta(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(a_delta(0, 6, upsert=(TWO,)))
        await stream.next(wire.Resync)
        seen.set()

    await until(applier, ScriptedServer(serve), seen)
    assert applier.applied is None


def drained(stream: ScriptedStream) -> list[wire.FromAgent]:
    return [stream.up.get_nowait() for _ in range(stream.up.qsize())]
