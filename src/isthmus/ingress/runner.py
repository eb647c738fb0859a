"""`isthmus ingress run`: keeps an nginx that is what the facts, the certificate and the contract say."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from isthmus.ingress import control, process
from isthmus.ingress.applying import Applier
from isthmus.ingress.arrival import TABLE
from isthmus.ingress.guarding import Guard, Plan, planned
from isthmus.ingress.passed_calls import read_call
from isthmus.ingress.refused import FactsUnavailable, IngressRefused, NginxFailed
from isthmus.ingress.watching import FILE_SECONDS, FactsWatch, FileWatch, Lines, Pause
from isthmus.protocol.federator import Suspicion
from isthmus.protocol.ingress import IngressFacts
from isthmus.protocol.places import Places

log = structlog.get_logger()

PACE_SECONDS = 0.25
DRIFT_SECONDS = 30.0
GUARD_SECONDS = 2.0
REMIND_SECONDS = 30.0
CALLS_A_SECOND, CALL_BURST = 200.0, 1000.0
"""Lines for answered calls that are logged: what is above is left out and counted."""
DENIED = 400
MOST_SHOWN = 20


class Runner:
    """One at a time does things to nginx: `run`. Watchers only say what they saw, and wake it."""

    def __init__(self, places: Places, facts_file: Path | None = None, drift_seconds: float = DRIFT_SECONDS) -> None:
        self._places = places
        self._file = facts_file
        self._drift_seconds = drift_seconds
        self._applier = Applier(places)
        self._files = FileWatch(places)
        self._facts: IngressFacts | None = None
        # Facts that are broken stay a problem, whatever is applied meanwhile for another reason.
        self._broken: IngressRefused | None = None
        self._child: process.Child | None = None
        self._wake = asyncio.Event()
        self._stopped = False
        self._dirty = False
        self._force = False
        self._applied_at = 0.0
        self._busy = False
        self._guard = Guard()
        self._plan = self._wished = Plan()
        self._told: tuple[str, float] = ("", 0.0)
        self._untold: Suspicion | None = None
        self._retry = Pause()
        self._again = Pause(shortest=2.0, longest=60.0, peace=300.0)
        self._lines = Lines(lambda text: log.info("nginx", said=text))
        # Bounds of their own: many calls must not hide what nginx complains of, nor strangers those that are answered.
        self._answered = Lines(_tell_call, a_second=CALLS_A_SECOND, burst=CALL_BURST)
        self._denied = Lines(_tell_call)

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    def refresh(self) -> None:
        """Render, check and reload again, though nothing is known to have changed."""
        self._force = True
        self._want()

    def _want(self) -> None:
        self._dirty = True
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`. Raises `IngressRefused` when it cannot begin and has no last good configuration either."""
        await asyncio.to_thread(self._prepare)
        try:
            await self._begin()
            async with self._watching():
                while not self._stopped:
                    await self._wake.wait()
                    self._wake.clear()
                    if not self._stopped:
                        await self._step()
        finally:
            self._stopped = True
            if self._child is not None:
                log.info("ingress stops; running requests may end")
                await self._child.stop()

    def _prepare(self) -> None:
        process.binary()
        self._places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._applier.versions.prepare()
        self._files.material_changed()
        self._files.receiver_changed()

    async def _begin(self) -> None:
        """With the facts if they can be had at once, else with the last good configuration, else not yet."""
        first: asyncio.Queue[IngressFacts | IngressRefused] = asyncio.Queue()
        watch = FactsWatch(self._places, self._file, first.put_nowait)
        watch.start()
        found = await first.get()
        watch.stop()
        try:
            if isinstance(found, IngressRefused):
                raise found
            self._facts = found
            await self._apply(found)
        except IngressRefused as refused:
            await self._begin_without(refused)

    async def _begin_without(self, refused: IngressRefused) -> None:
        good = await asyncio.to_thread(self._applier.last_good)
        self._tell(refused)
        await asyncio.to_thread(self._applier.note, refused)
        if good is None:
            if not isinstance(refused, FactsUnavailable):
                raise refused
            return
        version, facts = good
        self._facts = self._facts or facts
        log.warning("starting with the last good configuration", version=version.name)
        await self._start(version.name)

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        watch = FactsWatch(self._places, self._file, self._heard)
        watch.start()
        watches = (self._watch_files(), self._watch_drift(), self._watch_guard())
        tasks = [asyncio.create_task(each) for each in watches]
        try:
            yield
        finally:
            watch.stop()
            for task in tasks:
                task.cancel()

    def _heard(self, what: IngressFacts | IngressRefused) -> None:
        if isinstance(what, FactsUnavailable):
            self._tell(what)
        elif isinstance(what, IngressRefused):
            self._broken = what
            self._tell(what)
            self._applier.note(what)
        else:
            was_broken, self._broken = self._broken is not None, None
            if was_broken or self._facts is None or _but_generation(what) != _but_generation(self._facts):
                self._facts = what
                self._want()

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(FILE_SECONDS)
            if await asyncio.to_thread(self._files.material_changed):
                self._want()
            if self._facts is not None and await asyncio.to_thread(planned, self._facts) != self._wished:
                self._want()
            if self._files.receiver_changed():
                # Each worker would lose one refusal to the socket that is gone before it looks for the new one.
                log.info("the Federator listens anew: nginx reloads")
                self.refresh()

    async def _watch_guard(self) -> None:
        """Others may empty the kernel's tables."""
        while True:
            await asyncio.sleep(GUARD_SECONDS)
            plan = self._plan
            if await asyncio.to_thread(self._guard.is_whole, plan) or self._busy or plan != self._plan:
                continue
            log.error("the arrival guard is gone: it is set again")
            self._suspect("ingress_drift", {"drift": [f"somebody removed rules of the table {TABLE}"]})
            self.refresh()

    async def _watch_drift(self) -> None:
        while True:
            await asyncio.sleep(self._drift_seconds)
            if self._plan.left_out and self._untold is None:
                self._suspect("ingress_listener_missing", {"listeners": dict(self._plan.left_out)})
            await asyncio.to_thread(self._report_drift)
            if self._child is None or not self._child.running or self._dirty or self._busy or self._facts is None:
                continue
            at = self._applied_at
            drift = await asyncio.to_thread(self._applier.drift)
            # Something was applied meanwhile: what was seen was neither the old nor the new.
            if drift and at == self._applied_at and not self._dirty:
                log.error("ingress drift: what runs is not what was rendered; rendering it again", drift=drift)
                await asyncio.to_thread(self._applier.note, self._broken, drift)
                self._suspect("ingress_drift", {"drift": drift[:MOST_SHOWN]})
                self.refresh()
                await asyncio.to_thread(self._report_drift)

    def _suspect(self, kind: str, evidence: dict[str, Any]) -> None:
        if self._facts is not None:
            self._untold = Suspicion(kind, self._facts.infra_domains[0], time.time(), evidence)

    def _report_drift(self) -> None:
        """Make it a finding; at the next look where the server is away now."""
        if self._untold is None:
            return
        try:
            control.report(self._places.control, self._untold)
            self._untold = None
        except FactsUnavailable as unavailable:
            log.warning("a finding waits for the server", problem=str(unavailable))

    async def _step(self) -> None:
        """Bring nginx to what is wanted now, whatever woke us."""
        runs = self._child is not None and self._child.running
        if self._facts is None or (runs and not self._dirty):
            return
        # What changes quickly is applied once.
        await asyncio.sleep(max(0.0, self._applied_at + PACE_SECONDS - time.monotonic()))
        force, self._dirty, self._force = self._force, False, False
        self._applied_at = time.monotonic()
        self._busy = True
        try:
            await self._apply(self._facts, force=force)
        except IngressRefused as refused:
            self._tell(refused)
            await asyncio.to_thread(self._applier.note, refused)
            await self._stay_up()
            if isinstance(refused, NginxFailed):
                # What is in its way, such as a program that has the address, may go without telling us.
                asyncio.get_running_loop().call_later(self._again.after_failure(), self._want)
        finally:
            self._busy = False

    async def _apply(self, facts: IngressFacts, *, force: bool = False) -> None:
        runs = self._child is not None and self._child.running
        self._wished = await asyncio.to_thread(planned, facts)
        self._plan = await asyncio.to_thread(self._guard.before, self._wished)
        if self._plan.left_out:
            log.warning("overlays without a listener", why=dict(self._plan.left_out))
        version = await asyncio.to_thread(self._applier.apply, self._plan.of(facts), reload=runs, force=force)
        if not runs:
            await self._start(version.name)
        await asyncio.to_thread(self._guard.after, self._plan)
        await asyncio.to_thread(self._applier.note, self._broken, left_out=self._plan.left_out)
        if self._plan.left_out != self._wished.left_out:
            # What keeps the guard from being set may end without telling us.
            asyncio.get_running_loop().call_later(self._again.after_failure(), self._want)
        if self._broken is None:
            self._told = ("", 0.0)
        log.info("ingress applied", version=version.name, generation=facts.generation)

    async def _start(self, version: str) -> None:
        child = process.Child(self._applier.layout(), self._applier.current, self._hear)
        await child.start(version)
        self._child = child
        self._notice = asyncio.create_task(self._notice_end(child))

    def _hear(self, text: str) -> None:
        call = read_call(text)
        if call is None:
            self._lines.say(text)
        else:
            (self._answered if call.status < DENIED else self._denied).say(text)

    async def _notice_end(self, child: process.Child) -> None:
        code = await child.wait()
        if self._stopped:
            return
        pause = self._retry.after_failure()
        log.error("nginx ended by itself; starting it again", exit_code=code, seconds=pause)
        await asyncio.sleep(pause)
        self._wake.set()

    async def _stay_up(self) -> None:
        """After a failure: nginx goes on with the last good configuration, or starts with it if it ended."""
        if self._child is not None and self._child.running:
            return
        good = await asyncio.to_thread(self._applier.last_good)
        try:
            if good is None:
                raise NginxFailed("there is no last good configuration to start with")
            await self._start(good[0].name)
        except IngressRefused as refused:
            self._tell(refused)
            asyncio.get_running_loop().call_later(self._retry.after_failure(), self._want)

    def _tell(self, refused: IngressRefused) -> None:
        """Say what is wrong: at once, and again from time to time while it lasts."""
        text, at = self._told
        if str(refused) != text or time.monotonic() - at > REMIND_SECONDS:
            self._told = (str(refused), time.monotonic())
            waits = isinstance(refused, FactsUnavailable)
            what = "waiting for the facts" if waits else "the ingress stays as it is"
            (log.warning if waits else log.error)(what, problem=str(refused), mend=refused.mend)


def _tell_call(text: str) -> None:
    call = read_call(text)
    if call is None:
        log.info("nginx", said=text)
    else:
        log.info("call", **msgspec.structs.asdict(call))


def _but_generation(facts: IngressFacts) -> IngressFacts:
    """A generation may grow for what is no matter of the ingress."""
    return msgspec.structs.replace(facts, generation=0)


async def run(places: Places, facts_file: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP applies everything again. Raises `IngressRefused`."""
    runner = Runner(places, facts_file)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runner.stop)
    loop.add_signal_handler(signal.SIGHUP, runner.refresh)
    await runner.run()
