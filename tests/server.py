"""A real `isthmus server` in a process of its own, on a free port of the loopback interface."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from lab.waiting import wait_until

API = "/api/v1"
COMMAND = Path(sys.executable).with_name("isthmus")
START_SECONDS = 90.0
STOP_SECONDS = 15.0
CALL_SECONDS = 20.0
LOOKING_ON: list[Callable[[httpx2.Response], None]] = []
"""Who sees each answer of any server before the test does."""


def look(answer: httpx2.Response) -> None:
    if LOOKING_ON:
        answer.read()
    for each in LOOKING_ON:
        each(answer)


async def look_on(answer: httpx2.Response) -> None:
    if LOOKING_ON:
        await answer.aread()
    for each in LOOKING_ON:
        each(answer)


HOOKS: dict[str, list[Any]] = {"response": [look]}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Our environment with these settings of the server, given by their names in lower case, and no others."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
    return own | {f"ISTHMUS_{name.upper()}": value for name, value in settings.items()}


def started(settings: Mapping[str, str], output: int, errors: int, *arguments: str) -> subprocess.Popen[bytes]:
    """`isthmus server`; it dies with the process that runs the tests, however that one ends."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", COMMAND, "server", *arguments],
        env=clean_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
    )


@dataclass
class Server:
    """`settings` are those of `isthmus.server.settings` in their text form; `folder` gets data, output and log."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    start_seconds: float = START_SECONDS

    def __post_init__(self) -> None:
        self.settings = {"data_dir": str(self.data), "listen": f"127.0.0.1:{free_port()}"} | self.settings
        self.address = self.settings["listen"]
        self.url = f"http://{self.address}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def local_socket(self) -> Path:
        return self.data / "server.sock"

    @property
    def output(self) -> str:
        """What it has printed, over all its starts."""
        return (self.folder / "output").read_text()

    @property
    def log(self) -> str:
        """What it has logged, over all its starts."""
        return (self.folder / "log").read_text()

    @property
    def password(self) -> str:
        """The administrator's, as the first start printed it."""
        return self.output.partition("password  ")[2].split()[0]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self.folder / "output").open("ab") as output, (self.folder / "log").open("ab") as log:
            self._process = started(self.settings, output.fileno(), log.fileno())
        wait_until(self._answers_or_ended, within=self.start_seconds, what=f"the server at {self.url}")
        if self._process.poll() is not None:
            raise RuntimeError(f"the server did not start: {self.log}")

    def _answers_or_ended(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return True
        # All listeners are bound before one answers, and on this one it does not matter whether there is TLS.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.local_socket))
            except OSError:
                return False
        try:
            with self.local() as local:
                return local.get("/health/live").status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL, which it cannot notice."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        try:
            return self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def client(self, token: str | None = None, **options: Any) -> httpx2.Client:
        """Calls under /api/v1 over TCP, with `token` as the bearer."""
        return httpx2.Client(
            base_url=f"{self.url}{API}", headers=bearer(token), timeout=CALL_SECONDS, event_hooks=HOOKS, **options
        )

    def async_client(self, token: str | None = None) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=250)
        return httpx2.AsyncClient(
            base_url=f"{self.url}{API}",
            headers=bearer(token),
            timeout=60,
            limits=limits,
            trust_env=False,
            event_hooks={"response": [look_on]},
        )

    def local(self) -> httpx2.Client:
        """Calls over the server's own socket, which may do everything."""
        transport = httpx2.HTTPTransport(uds=str(self.local_socket))
        return httpx2.Client(
            base_url=f"http://local{API}", transport=transport, timeout=CALL_SECONDS, event_hooks=HOOKS
        )

    def token(self, *scopes: str) -> str:
        """A new API token with these scopes."""
        with self.local() as local:
            made = local.post("/tokens", json={"name": "test", "scopes": list(scopes)})
        return str(made.raise_for_status().json()["token"])


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[Server]:
    """A server with its data in `folder`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def refused_start(
    settings: Mapping[str, str], *arguments: str, as_user: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself; `as_user` names who runs it instead of us."""
    switch = ["setpriv", f"--reuid={as_user}", "--clear-groups", "--inh-caps=-all"] if as_user else []
    return subprocess.run(
        [*switch, COMMAND, "server", *arguments],
        env=clean_environment(settings),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
