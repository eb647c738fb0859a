"""Applies the newest config that the server sent, one at a time, independent of any connection."""

import asyncio
import time

import structlog

from isthmus.agent.apply import Applier
from isthmus.agent.deltas import applied
from isthmus.agent.errors import ToolFailed
from isthmus.agent.handshakes import Handshakes
from isthmus.agent.pace import Pace, race
from isthmus.agent.state import Applied
from isthmus.agent.steps import ConfigureWireGuard, Step
from isthmus.domain.errors import Refusal
from isthmus.protocol import agent as wire

log = structlog.get_logger()

MAX_ERROR = 500


def _begins_handshakes(step: Step) -> bool:
    """Whether it tells WireGuard where a neighbour is."""
    return isinstance(step, ConfigureWireGuard) and any(peer.endpoint is not None for peer in step.change.peers)


class Worker:
    """A mailbox of one: a config that arrives while another is applied replaces the one that waits."""

    def __init__(self, applier: Applier, pace: Pace) -> None:
        self.applier = applier
        self._pace = pace
        self._handshakes = Handshakes(applier, pace)
        self._wanted = applier.applied or applier.first
        self._changed = asyncio.Event()
        self.has_failed = False
        self._outcome: wire.Applied | None = None
        self._told = asyncio.Event()

    @property
    def desired_revision(self) -> int:
        return self._wanted.revision if self._wanted else 0

    def take(self, revision: int, config: wire.Config) -> None:
        """Have a config applied; one that is older than what is applied is refused."""
        if revision < self.applier.revision:
            problem = f"revision {revision} is older than {self.applier.revision}, which is applied here"
            log.error("config refused", error=problem)
            self._tell(wire.Applied(revision, 0, problem))
            return
        self._wanted = Applied(revision, config)
        self._changed.set()

    def take_delta(self, delta: wire.Delta) -> bool:
        """Have a change of the newest config applied; False where it does not fit what is known here."""
        if self._wanted is None or delta.from_ > self._wanted.revision:
            return False
        if delta.to > self._wanted.revision:
            self.take(delta.to, applied(self._wanted.config, delta))
        return True

    def recheck(self) -> None:
        """Something on the host changed: see whether the config is still true."""
        self._changed.set()

    def tell_again(self) -> None:
        """The connection is another one: what was said on the last one may not have arrived."""
        if self._outcome is not None:
            self._told.set()

    async def outcome(self) -> wire.Applied:
        """The next outcome to tell the server; an older one that was not told yet is not told any more."""
        await self._told.wait()
        self._told.clear()
        if self._outcome is None:
            raise RuntimeError("an outcome is set before it is announced")
        return self._outcome

    def heard(self) -> None:
        """The server was heard: what bridges opened stays open, or opens again.

        Not while it wants something that could not be done here, which may be that a bridge is shut.
        """
        if not self.has_failed:
            self.applier.renew()
            if self.applier.is_shut:
                self._changed.set()

    async def run(self) -> None:
        """For ever."""
        await race(self._keep_applied(), self._handshakes.run())

    async def _keep_applied(self) -> None:
        """For ever: apply what is wanted, once more after a while if that was not wholly possible, and when the lease
        of what bridges opened is over."""
        complete = True
        while True:
            try:
                async with asyncio.timeout(self._patience(complete=complete)):
                    await self._changed.wait()
            except TimeoutError:
                if complete and not self._is_overdue():
                    continue
                log.debug("trying the config again")
            self._changed.clear()
            if self._wanted is not None:
                complete = await self._apply(self._wanted)

    def _patience(self, *, complete: bool) -> float | None:
        left = self.applier.lease_left
        if complete:
            return None if left is None else max(0.0, left)
        return self._pace.retry_apply if left is None or left <= 0 else min(self._pace.retry_apply, left)

    def _is_overdue(self) -> bool:
        left = self.applier.lease_left
        return left is not None and left <= 0

    async def _shut_former(self, wanted: Applied) -> None:
        """What is applied stays in place of `wanted`, but for what bridges opened and must not stay."""
        former = self.applier.applied
        if former is not None and former != wanted and self._is_overdue():
            try:
                await self.applier.apply(former)
            except (Refusal, ToolFailed, OSError) as error:
                log.error("bridges could not be shut", error=str(error))

    async def _apply(self, wanted: Applied) -> bool:
        started, already = time.monotonic(), self.applier.applied == wanted
        problem, steps = None, 0
        try:
            done = await self.applier.apply(wanted)
            problem, steps = "; ".join(done.remarks), len(done.steps)
            if any(map(_begins_handshakes, done.steps)):
                self._handshakes.begun()
            self.has_failed = False
        except (Refusal, ToolFailed, OSError) as error:
            problem = str(error)
            self.has_failed = True
            await self._shut_former(wanted)
        took = round(1000 * (time.monotonic() - started))
        if problem:
            log.error("config not wholly applied", revision=wanted.revision, error=problem)
        elif steps or not already:
            log.info("config applied", revision=wanted.revision, steps=steps, took_ms=took)
        outcome = wire.Applied(wanted.revision, took, problem[:MAX_ERROR] if problem else None)
        # Checking anew what was reported already is nobody's news.
        if not already or (self._outcome is not None and self._outcome.error != outcome.error):
            self._tell(outcome)
        return not problem

    def _tell(self, outcome: wire.Applied) -> None:
        self._outcome = outcome
        self._told.set()
