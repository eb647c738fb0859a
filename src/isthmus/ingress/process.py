"""The one nginx of this ingress: checking a configuration with it, starting, reloading and stopping it."""

import asyncio
import contextlib
import ctypes
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from isthmus.ingress import nginx
from isthmus.ingress.control import UnixConnection
from isthmus.ingress.layout import Layout
from isthmus.ingress.refused import NginxFailed

CHECK_SECONDS = 30.0
START_SECONDS = 15.0
RELOAD_SECONDS = 15.0
STATUS_SECONDS = 2.0
LOOK_SECONDS = 0.02
# The master starts new workers, and 100 ms later tells the old ones to take no more connections.
OVERLAP_SECONDS = 0.2
PR_SET_PDEATHSIG = 1
LONGEST_LINE = 2_000
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class Running(Struct, frozen=True):
    """What a running nginx says of itself: digest and version of its configuration, and the worker that answered."""

    digest: str
    version: str
    worker: int


def binary() -> str:
    """Raises `NginxFailed` where there is no nginx."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SBIN}")
    if found is None:
        raise NginxFailed("nginx is not installed on this machine", "apt-get install nginx-light")
    return found


def command(folder: Path) -> list[str]:
    return [binary(), "-e", "stderr", "-p", str(folder), "-c", str(folder / nginx.CONFIG)]


def check(version: Path) -> None:
    """Have nginx read a version as it would on a reload. Raises `NginxFailed` with nginx's own words."""
    try:
        done = subprocess.run(
            [*command(version), "-t", "-q"],
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NginxFailed(f"nginx could not check its configuration ({error})") from None
    if done.returncode:
        said = [each for each in done.stderr.decode(errors="replace").splitlines() if "test failed" not in each]
        raise NginxFailed(f"nginx does not take the configuration: {'; '.join(said)[:LONGEST_LINE]}")


def ask(layout: Layout) -> Running | None:
    """What the running nginx says; None if none answers. Blocks for up to 2 s."""
    connection = UnixConnection(layout.status, STATUS_SECONDS)
    try:
        connection.request("GET", "/status")
        return msgspec.json.decode(connection.getresponse().read(LONGEST_LINE), type=Running)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return None
    finally:
        connection.close()


def master_of(layout: Layout) -> int | None:
    """The process id of a running nginx master of ours; the pid file of one that was killed counts for nothing."""
    try:
        pid = int(layout.pid.read_text())
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    # A process that got the number later, or a worker that outlived its master, is not it.
    return pid if pid > 1 and b"master process" in line and str(layout.temp.parent).encode() in line else None


def reload(layout: Layout, version: str, within: float = RELOAD_SECONDS) -> None:
    """Have the running master take the current version, and wait until a worker of it answers. Blocks.

    Raises `NginxFailed` if it does not; the old workers then still serve the old configuration.
    """
    master = master_of(layout)
    if master is None:
        raise NginxFailed("no nginx of this ingress is running", "isthmus ingress run")
    os.kill(master, signal.SIGHUP)
    if not wait_for(layout, version, within):
        raise NginxFailed(
            "nginx did not take the new configuration", "its log says why; the last good one still serves"
        )


def wait_for(layout: Layout, version: str, within: float, alive: Callable[[], bool] = lambda: True) -> bool:
    """Whether workers of `version`, and no others any more, answer within so many seconds, as long as nginx is `alive`.
    Blocks."""
    until = time.monotonic() + within
    first = None
    while time.monotonic() < until and alive():
        running = ask(layout)
        if running is None or running.version != version:
            first = None
        elif first is None:
            first = time.monotonic()
        elif time.monotonic() - first > OVERLAP_SECONDS:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def end_stray(layout: Layout) -> None:
    """End an nginx that a runner which was killed has left behind, and remove its socket. Blocks."""
    try:
        group = int(layout.pid.read_text())
    except (OSError, ValueError):
        group = 0
    end_group(group)
    layout.status.unlink(missing_ok=True)


def end_group(group: int) -> None:
    """End every nginx of a process group: workers whose master was killed go on serving without it. Blocks."""
    until = time.monotonic() + nginx.SHUTDOWN_SECONDS
    while (left := _members(group)) and time.monotonic() < until + 1:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < until else signal.SIGKILL)
        time.sleep(LOOK_SECONDS)


def _members(group: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat") if group > 1 else ():
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text(errors="replace").partition(") ")
            state, _, its_group, *_ = rest.split(" ")
            if name.endswith("(nginx") and int(its_group) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


class Child:
    """nginx as our child: it ends when we do. `say` gets the lines that it writes."""

    def __init__(self, layout: Layout, current: Path, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._current = current
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        # Looked up before the fork: the child of a fork may not load anything.
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, version: str) -> None:
        """Start nginx with the current version and wait until it answers. Raises `NginxFailed`."""
        await asyncio.to_thread(end_stray, self._layout)
        # No pipe of asyncio's: while workers hold its other end, `wait` would not notice that their master is gone.
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command(self._current),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=writing,
                # A group of its own: a Ctrl-C is for us, and workers are found by it when their master was killed.
                start_new_session=True,
                preexec_fn=self._end_with_parent,  # no thread of ours holds a lock that it takes
            )
        finally:
            os.close(writing)
        self._reader = asyncio.create_task(self._read(reading))
        if await asyncio.to_thread(wait_for, self._layout, version, START_SECONDS, lambda: self.running):
            return
        await self.stop()
        raise NginxFailed("nginx did not start", "its log says why: another program may have the address and port")

    async def wait(self) -> int:
        """Its exit code, when it has ended."""
        if self._process is None:
            raise RuntimeError("start it first")
        code = await self._process.wait()
        await asyncio.to_thread(end_group, self._process.pid)
        if self._reader is not None:
            await self._reader
        return code

    async def stop(self) -> None:
        """Let running requests end, then end nginx; a process that does not obey is killed."""
        for number, seconds in ((signal.SIGQUIT, nginx.SHUTDOWN_SECONDS + 2), (signal.SIGTERM, 2), (signal.SIGKILL, 2)):
            if not self.running or self._process is None:
                break
            with contextlib.suppress(ProcessLookupError, asyncio.TimeoutError):
                self._process.send_signal(number)
                await asyncio.wait_for(self._process.wait(), seconds)
        if self._process is not None:
            await asyncio.to_thread(end_group, self._process.pid)
        if self._reader is not None:
            await self._reader

    def _end_with_parent(self) -> None:
        self._prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    async def _read(self, pipe: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb")
        )
        with contextlib.closing(transport):
            while raw := await _line(stream):
                text = raw.decode(errors="replace").rstrip("\n")[:LONGEST_LINE]
                # Some of it is what callers wrote, and must not steer a terminal.
                self._say("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or as much of it as fits; empty at the end."""
    try:
        return await stream.readuntil()
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as over:
        return await stream.readexactly(over.consumed)
