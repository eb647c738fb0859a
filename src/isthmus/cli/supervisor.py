"""Keeps the processes of one backend running: starts them in order, again when one dies, and ends them in order."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

LOOK_SECONDS = 0.25
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
"""Whoever ran for so long begins again with the shortest pause."""
LONGEST_LINE = 64 * 1024
GATHER_SECONDS = 0.02
"""For so long lines are let come before they are printed together: each by itself would cost as much as a call."""
MUCH = 16 * 1024
REST_SECONDS = 1.0
"""How long output is waited for that a dead process has left in its pipes."""
PR_SET_PDEATHSIG = 1
ORDERLY = "ended with status 0"


@dataclass(frozen=True, slots=True)
class Program:
    """One process to be kept. `may_start` is asked until it agrees; `sign` is a text in its output that tells that it
    has started, None where nobody waits for that. A program `all_need` ends everything when its first start fails."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    may_start: Callable[[], bool] = lambda: True
    sign: str | None = None
    all_need: bool = False
    stop_seconds: float = 15.0


@dataclass
class Child:
    """A program and its process of this moment."""

    program: Program
    process: Process | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """`run` returns once everything has ended, with the exit code.

    Programs are started in their order, each when the one before has started, and ended in the opposite order. Each
    has a process group of its own: Ctrl-C reaches the supervisor alone, and what a program leaves behind is killed.
    Should the supervisor be killed, the kernel sends SIGTERM to every program.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        out: BinaryIO | None = None,
        err: BinaryIO | None = None,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._children = [Child(program) for program in programs]
        self._out = out or sys.stdout.buffer
        self._err = err or sys.stderr.buffer
        self._first_pause = first_pause
        self._width = max(len(program.name) for program in programs)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._asked_to_stop)
        keepers = [
            asyncio.create_task(self._keep(child, before))
            for child, before in zip(self._children, [None, *self._children], strict=False)
        ]
        await self._stop.wait()
        for child in reversed(self._children):
            await self._end(child)
        await asyncio.gather(*keepers)
        return self._code

    def _asked_to_stop(self) -> None:
        """Once: end in order. Twice: end now."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _keep(self, child: Child, before: Child | None) -> None:
        if before is not None and not await self._comes(before.started):
            return
        while not child.program.may_start():
            if not await self._pauses(LOOK_SECONDS):
                return
        pause = self._first_pause
        while not self._stop.is_set():
            began = time.monotonic()
            how = await self._live(child)
            lived = time.monotonic() - began
            if self._stop.is_set():
                return
            if child.program.all_need and not child.started.is_set():
                self._tell(f"{child.program.name} did not start: it {how}; what it said stands above")
                self._code = 1
                self._stop.set()
                return
            if how == ORDERLY and lived >= self._first_pause:
                # Somebody asked it to, so as to have it start anew.
                self._tell(f"{child.program.name} {how}; it is started again")
                continue
            if lived >= STEADY_SECONDS:
                pause = self._first_pause
            self._tell(f"{child.program.name} {how}; it is started again in {pause:g} s")
            await self._pauses(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _live(self, child: Child) -> str:
        """One life of a program, from start to end; returns how it ended."""
        program = child.program
        async with contextlib.AsyncExitStack() as relays:
            # Pipes of our own: with those of asyncio the wait for a process is also one for whoever inherited them.
            ends = [await relays.enter_async_context(self._relay(child, sink)) for sink in (self._out, self._err)]
            try:
                process = child.process = await asyncio.create_subprocess_exec(
                    *program.command,
                    env=dict(program.environment),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=ends[0],
                    stderr=ends[1],
                    start_new_session=True,
                    preexec_fn=ends_with(os.getpid()),  # one thread; nothing else sets this signal
                )
            except OSError as error:
                return f"cannot be run ({error.strerror}: {program.command[0]})"
            finally:
                for end in ends:
                    os.close(end)
            if program.sign is None:
                child.started.set()
            code = await process.wait()
            # Whatever it started must not hold its ports or sockets when it is started again.
            kill_group(process.pid)
        child.process = None
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    @contextlib.asynccontextmanager
    async def _relay(self, child: Child, sink: BinaryIO) -> AsyncIterator[int]:
        """A file descriptor, to be closed here: what is written there is printed by us. The block ends with the last
        line that was left, or a little later where somebody keeps the other end open."""
        here, there = os.pipe()
        stream = asyncio.StreamReader(limit=LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(here, "rb")
        )
        copying = asyncio.create_task(self._copy(child, stream, sink, transport))
        try:
            yield there
        finally:
            await asyncio.wait([copying], timeout=REST_SECONDS)
            copying.cancel()
            transport.close()

    async def _copy(
        self, child: Child, stream: asyncio.StreamReader, sink: BinaryIO, pipe: asyncio.ReadTransport
    ) -> None:
        rest = b""
        while piece := await stream.read(LONGEST_LINE):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            self._write(child, sink, lines)
            if len(piece) < MUCH and not pipe.is_closing():
                pipe.pause_reading()
                await asyncio.sleep(GATHER_SECONDS)
                pipe.resume_reading()
        if rest:
            self._write(child, sink, [rest])

    def _write(self, child: Child, sink: BinaryIO, lines: Sequence[bytes]) -> None:
        sign = child.program.sign
        if sign is not None and not child.started.is_set() and any(sign.encode() in line for line in lines):
            child.started.set()
        self._print(sink, child.program.name, lines)

    def _tell(self, text: str) -> None:
        self._print(self._err, "up", [text.encode()])

    def _print(self, sink: BinaryIO, name: str, lines: Sequence[bytes]) -> None:
        before = f"{name:<{self._width}} | ".encode()
        # Whoever read our output may be gone, or the disk below it full: that is no reason to end a backend.
        with contextlib.suppress(OSError):
            sink.write(b"".join(before + line + b"\n" for line in lines))
            sink.flush()

    async def _end(self, child: Child) -> None:
        """SIGTERM, some time for what is under way, and SIGKILL for who does not listen."""
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        ending = asyncio.create_task(process.wait())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([ending, hurry], timeout=child.program.stop_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ending.done():
            self._tell(f"{child.program.name} did not end in time and is killed")
            kill_group(process.pid)
        await ending

    async def _comes(self, event: asyncio.Event) -> bool:
        """Wait for an event; False where we are to stop first."""
        tasks = [asyncio.create_task(each.wait()) for each in (event, self._stop)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return not self._stop.is_set()

    async def _pauses(self, seconds: float) -> bool:
        """Wait that long; False where we are to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return not self._stop.is_set()


def kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def ends_with(parent: int) -> Callable[[], None] | None:
    """What a new process does before it becomes the program, so that it never outlives `parent`. None where the kernel
    has no such thing."""
    if sys.platform != "linux":
        return None
    # Loaded here: after the fork nothing must be imported.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
