"""A real `isthmus server` process with data of its own."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import CallFailed, Client
from bench.procfs import cpu_seconds, resident_bytes

READY_SECONDS = 30.0
END_SECONDS = 20.0
POLL_SECONDS = 0.02
SETTLE_SECONDS = 0.1


class ServerFailed(Exception):
    """The server did not start, or ended; the text shows what it said."""


@dataclass(slots=True)
class Spent:
    """CPU seconds of the server, known once the block that they are counted for has ended."""

    cpu: float = 0.0


@dataclass(slots=True)
class Server:
    """One installation. `token` may do everything; it is made at the first start."""

    folder: Path
    database_url: str | None = None
    port: int = 0
    token: str = ""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed("the server is not running")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    async def start(self) -> None:
        """Start on a free port and wait until it can be used."""
        self.port = free_port()
        self._process = self._launched()
        deadline = time.monotonic() + READY_SECONDS
        while not await self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"the server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            await asyncio.sleep(POLL_SECONDS)
        if not self.token:
            self.token = await self._new_token()

    async def client(self) -> Client:
        """A connection for the administrator."""
        return await Client.connected(self.port, self.token)

    @contextlib.asynccontextmanager
    async def clients(self, count: int) -> AsyncIterator[list[Client]]:
        opened = [await self.client() for _ in range(count)]
        try:
            yield opened
        finally:
            for client in opened:
                client.close()

    @contextlib.contextmanager
    def spending(self) -> Iterator[Spent]:
        """Counts what the server computes while the block runs."""
        spent, before = Spent(), cpu_seconds(self.pid)
        yield spent
        spent.cpu = cpu_seconds(self.pid) - before

    def memory(self) -> int:
        """Bytes in RAM."""
        return resident_bytes(self.pid)

    async def settle(self) -> None:
        """Wait until the server has nothing more to do: no measurable CPU time in a tenth of a second."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            before = cpu_seconds(self.pid)
            await asyncio.sleep(SETTLE_SECONDS)
            if cpu_seconds(self.pid) == before:
                return
        raise ServerFailed(f"the server does not come to rest within {READY_SECONDS:g} s")

    def stop(self) -> None:
        """Ask it to end and wait for that."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"the server did not end within {END_SECONDS:g} s of SIGTERM") from None
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL, which it cannot notice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(END_SECONDS)
            self._process = None

    def _launched(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                # Ends with this process, in whatever way that ends.
                ["setpriv", "--pdeathsig", "TERM", "--", Path(sys.executable).with_name("isthmus"), "server"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
        own["ISTHMUS_DATA_DIR"] = str(self.folder / "data")
        own["ISTHMUS_LISTEN"] = f"127.0.0.1:{self.port}"
        if self.database_url is not None:
            own["ISTHMUS_DATABASE_URL"] = self.database_url
        return own

    async def _is_ready(self) -> bool:
        try:
            client = await Client.connected(self.port)
            answer = await client.send("GET", "/api/v1/health/ready")
        except (OSError, CallFailed):
            return False
        client.close()
        return answer.status == 200

    async def _new_token(self) -> str:
        local = await Client.connected_to(self.folder / "data" / "server.sock")
        body = {"name": "bench", "scopes": ["read", "write", "admin"]}
        made = await local.call("POST", "/api/v1/tokens", body)
        local.close()
        return str(made["token"])


@contextlib.asynccontextmanager
async def running(database_url: str | None = None) -> AsyncIterator[Server]:
    """A server with empty data on a disk, and with SQLite unless another database is named."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-bench-"))
    server = Server(folder, database_url)
    try:
        await server.start()
        yield server
        server.stop()
    finally:
        server.kill()
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
