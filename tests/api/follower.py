"""An agent on its stream that takes over what it is told, as a real one does, and reports what a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from isthmus.agent.deltas import applied
from isthmus.protocol import agent as wire
from tests.api.agent import Agent, Stream


@dataclass
class Follower:
    """`revisions` are those that it was brought to, in their order."""

    agent: Agent
    stream: Stream
    config: wire.Config | None = None
    revision: int = 0
    revisions: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _nonce: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _acks: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def listen(self) -> None:
        while True:
            message = await self.stream.next()
            match message:
                case wire.Hello(nonce):
                    self._has(nonce)
                case wire.Ack(nonce):
                    self._has(nonce)
                case wire.Refused(code, _, nonce):
                    self.refused.append(code)
                    self._has(nonce or "")
                case wire.Snapshot(revision, config):
                    self._moved(revision, config)
                case wire.Delta() as delta:
                    assert self.config is not None
                    assert delta.from_ <= self.revision < delta.to
                    self._moved(delta.to, applied(self.config, delta))

    def _has(self, nonce: str) -> None:
        self._nonce = nonce
        self._acks.put_nowait(None)

    def _moved(self, revision: int, config: wire.Config) -> None:
        self.revision, self.config = revision, config
        self.revisions.append(revision)
        self._news.set()

    async def beat(self, **fields: Any) -> None:
        """Send a heartbeat once the last one is acknowledged; returns when this one is."""
        async with asyncio.timeout(10):
            await self._acks.get()
            await self.stream.send(wire.Heartbeat(self._nonce, self.revision, **fields))
            await self._acks.get()
        self._acks.put_nowait(None)

    def neighbour(self, other: Agent) -> wire.Neighbour | None:
        neighbours = () if self.config is None else self.config.neighbours
        return next((each for each in neighbours if each.public_key == other.public_key), None)

    async def until(self, is_so: Callable[["Follower"], bool], within: float = 10) -> None:
        """Wait until the config that it has is as `is_so` says."""
        async with asyncio.timeout(within):
            while not is_so(self):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def following(*agents: Agent) -> AsyncIterator[list[Follower]]:
    """Connect `agents` and wait until each has its config."""
    async with contextlib.AsyncExitStack() as stack:
        followers = [Follower(agent, await stack.enter_async_context(agent.stream())) for agent in agents]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(follower.listen()) for follower in followers]
            for follower in followers:
                await follower.until(lambda each: each.config is not None)
            try:
                yield followers
            finally:
                for task in tasks:
                    task.cancel()
