"""The worker and the loop: what is told when, and in which rhythm. Only the server and the host are stand-ins."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.agent.apply import Applier
from isthmus.agent.errors import Blocked, SessionEnded, ToolFailed, Unreachable
from isthmus.agent.loop import Agent, Contact
from isthmus.agent.observed import HostState, Link
from isthmus.agent.pace import Pace
from isthmus.agent.state import Applied, Identity, StateDir
from isthmus.agent.steps import ConfigureWireGuard
from isthmus.agent.worker import Worker
from isthmus.domain.addresses import Endpoint
from isthmus.protocol import agent as wire
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.state import InterfaceState
from tests.agent.builders import ALIAS, INTERFACE, OWN_KEY, a_config, a_gateway, around, carried_out

pytestmark = pytest.mark.timeout(20)

QUICK = Pace(spread=lambda low, high: high, first_pause=0.01, longest_pause=0.04, answer=0.5, debounce=0.01, watch=0.01)


@dataclass
class StandInHost:
    """A host that does what the steps say; `problem` is raised by the next changes."""

    host: HostState = field(default_factory=HostState)
    problem: Exception | None = None
    kind: Any = "userspace"
    reads_in_process: bool = True
    changes: int = 0
    interface: str = INTERFACE

    async def observe(self, interface: str) -> HostState:
        return replace(self.host, wireguard=None)

    async def apply(self, interface: str, steps: Any) -> None:
        self._fail()
        self.host = carried_out(tuple(steps), self.host)

    async def load(self, script: str) -> None:
        raise AssertionError("no rules are needed here")

    async def resolve(self, endpoint: Endpoint) -> Endpoint | None:
        return endpoint

    async def create(self, interface: str) -> None:
        self._fail()
        self.interface = interface
        self.host = replace(self.host, link=Link("tun", 1500, False), wireguard=InterfaceState(None, 0, 0, {}))

    async def state(self, interface: str) -> InterfaceState:
        if self.host.wireguard is None or interface != self.interface:
            raise ToolFailed(f"there is no interface {interface}")
        return self.host.wireguard

    async def change(self, interface: str, change: InterfaceChange) -> None:
        await self.state(interface)
        self.changes += 1
        self.host = carried_out((ConfigureWireGuard(change),), self.host)

    def roam(self, endpoint: Endpoint) -> None:
        assert self.host.wireguard is not None
        peers = {
            key: replace(peer, endpoint=endpoint, latest_handshake=9) for key, peer in self.host.wireguard.peers.items()
        }
        self.host = replace(self.host, wireguard=replace(self.host.wireguard, peers=peers))

    def _fail(self) -> None:
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def host() -> StandInHost:
    return StandInHost()


@pytest.fixture
def applier(host: StandInHost, tmp_path: Path) -> Applier:
    state = StateDir(tmp_path)
    state.save_identity(Identity("https://isthmus.example.com", ALIAS[8:], "me", "n-1", "office", "token"))
    return Applier(INTERFACE, OWN_KEY, state, around(host))


def a_snapshot(revision: int, **changes: Any) -> wire.Snapshot:
    return wire.Snapshot(revision, a_config(a_gateway(), **changes))


@dataclass
class ScriptedServer:
    """A server that answers as `serve` tells, on as many streams as the agent opens."""

    serve: "Callable[[ScriptedStream], Awaitable[None]]"
    revisions: list[int] = field(default_factory=list)
    refuses_streams: bool = False
    polls: list[Any] = field(default_factory=list)
    config: wire.ConfigAnswer | None = None
    on_stream: Callable[[int], None] = lambda number: None
    kept: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)

    def use(self, session_token: str) -> None:
        assert self.kept[-1] == session_token, "it is stored before it is used"
        self.used.append(session_token)

    async def rekey(self, made: wire.Rekey) -> None:
        self.polls.append(made)

    @asynccontextmanager
    async def stream(self, revision: int) -> AsyncIterator["ScriptedStream"]:
        self.revisions.append(revision)
        self.on_stream(len(self.revisions))
        if self.refuses_streams:
            raise Unreachable("a proxy said no")
        stream = ScriptedStream()
        serving = asyncio.ensure_future(self.serve(stream))
        try:
            yield stream
        finally:
            serving.cancel()

    @asynccontextmanager
    async def polling(self) -> AsyncIterator["ScriptedServer"]:
        yield self

    async def fetch(self, revision: int) -> wire.ConfigAnswer:
        if self.config is None:
            raise Unreachable("the server is down")
        self.polls.append(revision)
        return replace_config(self.config, None if revision == self.config.revision else self.config.config)

    async def report(self, heartbeat: wire.Heartbeat) -> wire.Ack | wire.Refused:
        self.polls.append(heartbeat)
        return wire.Ack("next")

    async def tell(self, outcome: wire.Applied) -> None:
        self.polls.append(outcome)


def replace_config(answer: wire.ConfigAnswer, config: wire.Config | None) -> wire.ConfigAnswer:
    return msgspec.structs.replace(answer, config=config)


class ScriptedStream:
    def __init__(self) -> None:
        self.down: asyncio.Queue[wire.FromServer | Exception] = asyncio.Queue()
        self.up: asyncio.Queue[wire.FromAgent] = asyncio.Queue()

    async def receive(self) -> wire.FromServer:
        message = await self.down.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, message: wire.FromAgent) -> None:
        self.up.put_nowait(message)

    async def next(self, kind: type[Any]) -> Any:
        while True:
            message = await self.up.get()
            if isinstance(message, kind):
                return message


async def until(applier: Applier, server: ScriptedServer, seen: asyncio.Event, pace: Pace = QUICK) -> list[Contact]:
    """Run an agent until `seen` is set."""
    contacts: list[Contact] = []
    agent = Agent(server, Worker(applier, pace), pace, contacts.append, server.kept.append)
    running = asyncio.ensure_future(agent.run())
    waiting = asyncio.ensure_future(seen.wait())
    done, _ = await asyncio.wait({running, waiting}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    waiting.cancel()
    assert done, "neither the agent nor its server came to an end"
    for task in done:
        task.result()
    return contacts


async def test_a_config_is_applied_reported_and_kept(applier: Applier, host: StandInHost) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(a_snapshot(4))
        outcome = await stream.next(wire.Applied)
        assert (outcome.revision, outcome.error) == (4, None)
        seen.set()

    server = ScriptedServer(serve)
    await until(applier, server, seen)
    assert server.revisions == [0]
    assert applier.applied == Applied(4, a_config(a_gateway()))
    assert host.host.link is not None
    assert host.host.link.is_up


async def test_each_heartbeat_returns_the_nonce_of_the_last_answer(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        assert (await stream.next(wire.Heartbeat)).nonce == "n-1"
        # Refused with a nonce: the report is repeated at once, not after the interval.
        stream.down.put_nowait(wire.Refused("replay_detected", "", "n-2"))
        assert (await stream.next(wire.Heartbeat)).nonce == "n-2"
        stream.down.put_nowait(wire.Ack("n-3"))
        await asyncio.sleep(0.1)
        assert stream.up.empty()
        seen.set()

    assert [contact.by for contact in await until(applier, ScriptedServer(serve), seen)] == ["stream"]


async def test_a_server_that_refuses_every_nonce_is_not_flooded(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n", 0))
        for _ in range(3):
            await stream.next(wire.Heartbeat)
            stream.down.put_nowait(wire.Refused("replay_detected", "", "n"))
        await asyncio.sleep(0.2)
        assert stream.up.empty()
        seen.set()

    await until(applier, ScriptedServer(serve), seen)


async def test_an_endpoint_that_changed_is_reported_before_its_time(applier: Applier, host: StandInHost) -> None:
    seen = asyncio.Event()
    await applier.apply(Applied(1, a_config(a_gateway())))

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        await stream.next(wire.Heartbeat)
        stream.down.put_nowait(wire.Ack("n-2"))
        await asyncio.sleep(0.05)
        assert stream.up.empty()
        host.roam(Endpoint("203.0.113.5", 4242))
        heartbeat = await stream.next(wire.Heartbeat)
        assert [report.endpoint for report in heartbeat.peers] == ["203.0.113.5:4242"]
        seen.set()

    await until(applier, ScriptedServer(serve), seen)


async def test_a_config_that_fails_is_reported_and_tried_again(applier: Applier, host: StandInHost) -> None:
    seen = asyncio.Event()
    host.problem = ToolFailed("ip: no")

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(a_snapshot(4))
        assert (await stream.next(wire.Applied)).error == "ip: no"
        host.problem = None
        assert (await stream.next(wire.Applied)).error is None
        seen.set()

    await until(applier, ScriptedServer(serve), seen, replace(QUICK, retry_apply=0.05))


@pytest.mark.parametrize(
    ("snapshot", "problem"),
    [
        (a_snapshot(2), "revision 2 is older than 3"),
        (a_snapshot(5, requires=("teleport",)), "requires teleport"),
        (a_snapshot(5, mtu=9), "mtu 9"),
    ],
)
async def test_a_config_that_cannot_be_is_refused_and_the_old_one_stays(
    applier: Applier, host: StandInHost, snapshot: wire.Snapshot, problem: str
) -> None:
    seen = asyncio.Event()
    await applier.apply(Applied(3, a_config(a_gateway())))
    before, changes = host.host, host.changes

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(snapshot)
        outcome = await stream.next(wire.Applied)
        assert outcome.revision == snapshot.revision
        assert problem in outcome.error
        seen.set()

    await until(applier, ScriptedServer(serve), seen)
    assert (host.host, host.changes, applier.revision) == (before, changes, 3)


async def test_after_a_break_the_agent_comes_back_with_its_revision(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        if len(server.revisions) == 2:
            seen.set()
        stream.down.put_nowait(wire.Hello("n-1", 0))
        stream.down.put_nowait(a_snapshot(7))
        await stream.next(wire.Applied)
        stream.down.put_nowait(Unreachable("the connection broke"))

    server = ScriptedServer(serve)
    await until(applier, server, seen)
    assert server.revisions == [0, 7]


async def test_a_revision_that_the_agent_does_not_have_is_asked_for(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Unchanged(9))
        await stream.next(wire.Resync)
        seen.set()

    await until(applier, ScriptedServer(serve), seen)


async def test_a_server_that_says_nothing_is_left_and_tried_again(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        if len(server.revisions) == 2:
            seen.set()

    server = ScriptedServer(serve)
    contacts = await until(applier, server, seen, replace(QUICK, answer=0.05))
    assert contacts[0].error == "the server did not answer within 0.05 s"


async def test_where_streams_are_blocked_plain_https_takes_over(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        raise AssertionError("no stream is opened here")

    server = ScriptedServer(serve, refuses_streams=True, config=wire.ConfigAnswer(6, "n", 0, a_config(a_gateway())))
    pace = replace(QUICK, spread=lambda low, high: low * 0.01, https_only=0.5)

    server.on_stream = lambda number: seen.set() if number == 5 else None
    contacts = await until(applier, server, seen, pace)
    assert "https" in [contact.by for contact in contacts]
    assert {each.revision for each in server.polls if isinstance(each, wire.Applied)} == {6}
    assert server.polls[0] == 0
    assert [each for each in server.polls if isinstance(each, int)][-1] == 6
    # Three tries before plain HTTPS, one as soon as that works, and one when its time is over.
    assert len(server.revisions) == 5


async def test_a_key_that_is_asked_for_is_made_once_and_told_each_time(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        told = []
        for _ in range(2):
            stream.down.put_nowait(wire.Rotate())
            told.append((await stream.next(wire.Rekey)).public_key)
        assert told[0] == told[1] != str(OWN_KEY.public())
        stream.down.put_nowait(a_snapshot(4, public_key=told[0]))
        assert (await stream.next(wire.Applied)).error is None
        assert str(applier.keys.present.public()) == told[0]
        # Now that one is in use: asked again, the agent makes another.
        stream.down.put_nowait(wire.Rotate())
        assert (await stream.next(wire.Rekey)).public_key != told[0]
        seen.set()

    await until(applier, ScriptedServer(serve), seen)


async def test_a_fresh_session_token_is_stored_and_presented_on_another_stream_at_once(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        if server.used == ["fresh"]:
            seen.set()
            return
        stream.down.put_nowait(wire.SessionToken("fresh"))

    server = ScriptedServer(serve)
    # No pause: with one, this would take longer than the test may.
    contacts = await until(applier, server, seen, replace(QUICK, first_pause=60, longest_pause=60))
    assert (server.kept, len(server.revisions), contacts) == (["fresh"], 2, [])


async def test_by_https_a_key_and_a_token_come_with_the_config(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        raise AssertionError("no stream is opened here")

    config = wire.ConfigAnswer(6, "n", 0, a_config(a_gateway()), rotate=True, session_token="fresh")
    server = ScriptedServer(serve, refuses_streams=True, config=config)
    server.on_stream = lambda number: seen.set() if number == 5 else None
    await until(applier, server, seen, replace(QUICK, spread=lambda low, high: low * 0.01, https_only=0.2))
    assert server.used[0] == "fresh"
    assert {each.public_key for each in server.polls if isinstance(each, wire.Rekey)} == {str(applier.keys.make_next())}


async def test_a_blocked_agent_keeps_its_tunnel_says_so_and_asks_again_after_a_long_pause(
    applier: Applier, host: StandInHost
) -> None:
    seen, asked = asyncio.Event(), []
    await applier.apply(Applied(3, a_config(a_gateway())))
    before = host.host

    async def serve(stream: ScriptedStream) -> None:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 5:
            stream.down.put_nowait(wire.Hello("n-1", 0))
            stream.down.put_nowait(wire.Ack("n-2"))
            await asyncio.sleep(0.02)
            seen.set()
        else:
            stream.down.put_nowait(Blocked("blocked by incident i-1", "i-1"))

    contacts = await until(applier, ScriptedServer(serve), seen, replace(QUICK, blocked=0.2))
    assert [contact.incident for contact in contacts] == ["i-1"] * 4 + [None]
    assert {contact.by for contact in contacts[:4]} == {None}, "and no plain HTTPS is tried in the place of streams"
    assert all(0.1 < later - earlier < 1 for earlier, later in itertools.pairwise(asked))
    assert host.host == before


async def test_plain_https_tells_of_the_process_with_every_heartbeat(applier: Applier) -> None:
    seen = asyncio.Event()
    server = ScriptedServer(
        serve=lambda stream: asyncio.sleep(0),
        refuses_streams=True,
        config=wire.ConfigAnswer(6, "n", 0, a_config(a_gateway())),
    )
    server.on_stream = lambda number: seen.set() if number == 6 else None
    pace = replace(QUICK, spread=lambda low, high: low * 0.001, https_only=0.2)
    await until(applier, server, seen, pace)
    beats = [each for each in server.polls if isinstance(each, wire.Heartbeat)]
    assert len(beats) > 1
    assert all(beat.host is not None for beat in beats)


async def test_a_heartbeat_that_says_nonsense_is_not_repeated_at_once(applier: Applier) -> None:
    seen = asyncio.Event()

    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(wire.Hello("n-1", 0))
        await stream.next(wire.Heartbeat)
        stream.down.put_nowait(wire.Refused("validation_failed", "in the future", "n-2"))
        await asyncio.sleep(0.2)
        assert stream.up.empty()
        seen.set()

    await until(applier, ScriptedServer(serve), seen)


async def test_the_end_of_the_session_ends_the_agent(applier: Applier) -> None:
    async def serve(stream: ScriptedStream) -> None:
        stream.down.put_nowait(SessionEnded())

    with pytest.raises(SessionEnded):
        await until(applier, ScriptedServer(serve), asyncio.Event())


def test_pauses_double_up_to_a_minute_and_are_drawn_from_nothing_to_all() -> None:
    drawn: list[tuple[float, float]] = []

    def spread(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    pace = Pace(spread)
    assert [pace.pause(failures) for failures in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert {low for low, _ in drawn} == {0}
    assert pace.pause(10_000) == 60
    assert pace.until_heartbeat(15) == pytest.approx(18)
    assert drawn[-1] == (0.8, 1.2)


def test_a_slow_interface_is_looked_at_more_rarely() -> None:
    pace = Pace(lambda low, high: high)
    assert pace.until_look(0.0001) == 1
    assert pace.until_look(0.006) == pytest.approx(6)
