"""An organisation in a lab: a host with a whole backend, `isthmus up`, found by DNS; and two that federate."""

import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx2

from isthmus.protocol.places import Places
from lab.certificates import Authority
from lab.lab import Lab
from lab.mesh import Mesh, Watcher, served_with
from lab.waiting import wait_until

DATA = "/var/lib/isthmus"
CONFIG = "/etc/isthmus/server.toml"
LISTEN = "127.0.0.1:8080"
PORT = 8443
START_SECONDS = 60.0
FOLLOW_SECONDS = 60.0
CALL_SECONDS = 20.0
STOP_SECONDS = 30.0
NOT_FOUND = 404


class Names(Protocol):
    """The DNS of a lab: an nsd with real zones, or a server that says what a script tells it."""

    lab: Lab

    @property
    def address(self) -> str:
        """What stands in the resolv.conf of a host."""

    def publish(self, domain: str, infra: str, addresses: Sequence[IPv4Address | IPv6Address], port: int) -> None:
        """From now on `domain` is served at `infra`, which has these addresses."""


class Organisation:
    """Starts `isthmus up` on a host of its own. `init` makes it ready to federate, `federate` joins two.

        with Lab() as lab:
            names = ScriptedNames(lab)
            a, b = (Organisation(names, name) for name in "ab")
            a.init(), b.init()
            federate(a, b)
            a.cli("user", "lookup", "alice@b.example")

    `name` is the host's and the first label of the domain: `a` is a.example, reached at infra.a.example. Everything is
    done by the command line, on the host; `api` are calls over the server's own socket. `mesh` is made up of hosts
    that reach the server's listener for agents.
    """

    def __init__(
        self,
        names: Names,
        name: str,
        *,
        settings: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self.name = name
        self.names = names
        self.domain = f"{name}.example"
        self.infra = f"infra.{name}.example"
        self.host = names.lab.host(name)
        self._watch = watch or (lambda host, command, output: None)
        self.host.path("/etc/resolv.conf").write_text(f"nameserver {names.address}\n")
        # In the lab's folder, whose path is the same from inside and outside: SQLite resolves paths by itself.
        self.database = self.host.folder / "isthmus.db"
        authority = Authority()
        given = {"listen": LISTEN, "database_url": f"sqlite:///{self.database}"} | dict(settings or {})
        if "agent_listen" not in given:
            given |= {"agent_listen": f"{self.host.ipv4}:443"} | served_with(self.host, authority)
        self.host.path(CONFIG).write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
        self.up = self.host.start(["isthmus", "up", "--config", CONFIG], name="up", env=env)
        # Its socket by way of our own view of the host's files: no process has to be started for a question.
        transport = httpx2.HTTPTransport(uds=str(self.host.path(f"{DATA}/server.sock")))
        self.api = httpx2.Client(base_url="http://local/api/v1", transport=transport, timeout=CALL_SECONDS)
        self.mesh = Mesh(self.api, f"https://{self.host.ipv4}", authority, self._watch)

    def __enter__(self) -> Self:
        self.await_server()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.api.close()

    @property
    def places(self) -> Places:
        """Its files and sockets, as the process that calls sees them."""
        return Places(self.host.path(DATA))

    @property
    def log(self) -> str:
        """What its processes have printed, each line with the name of its process before it."""
        return self.up.output

    def log_of(self, process: str) -> list[str]:
        """The lines of one process: `server`, `federator`, `ingress`."""
        lines = (line.partition(" | ") for line in self.log.splitlines())
        return [text for name, _, text in lines if name.strip() == process]

    def await_server(self) -> None:
        self.up.wait_for("Isthmus is running at", within=START_SECONDS)
        wait_until(self.answers, within=START_SECONDS, what=f"an answer of the server of {self.name}")

    def answers(self) -> bool:
        """Whether its server does."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.host.path(f"{DATA}/server.sock")))
            except OSError:
                return False
        try:
            return self.api.get("/health/live").is_success
        except httpx2.TransportError:
            return False

    def type(self, *command: str, input: str | None = None, timeout: float = 60.0) -> str:
        """Run a command on the host, show it to the watcher and return what it printed. Raises CommandFailed."""
        done = self.host.run(command, input=input, timeout=timeout)
        self._watch(self.host, command, done.stdout or done.stderr)
        return done.stdout

    def cli(self, *arguments: str, input: str | None = None) -> str:
        """An `isthmus` command of the administrator; returns what it printed."""
        return self.type("isthmus", *arguments, input=input)

    def shortly(self, *arguments: str) -> str:
        """The same where what it prints is long; the watcher is shown its first and its last line."""
        printed = self.host.run(["isthmus", *arguments]).stdout
        lines = printed.splitlines()
        self._watch(self.host, ["isthmus", *arguments], "\n".join([lines[0], "…", lines[-1]]) if lines else "")
        return printed

    def asked(self, *arguments: str, input: str | None = None) -> Any:
        """The same with `--json`, which nobody has to see; returns what it answered."""
        return json.loads(self.host.run(["isthmus", *arguments, "--json"], input=input).stdout)

    def init(self) -> None:
        """Make it ready to federate, publish its records, and wait until its ingress listens."""
        self.initialise()
        self.publish()
        self.await_ingress()

    def initialise(self) -> str:
        """`isthmus federation init`; returns what it printed."""
        listen = f"{self.host.ipv4}:{PORT}"
        return self.cli("federation", "init", "--domain", self.domain, "--infra", self.infra, "--listen", listen)

    def publish(self) -> None:
        """Put its records into the DNS."""
        self.names.publish(self.domain, self.infra, [self.host.ipv4], PORT)

    def await_ingress(self, *, within: float = FOLLOW_SECONDS) -> None:
        wait_until(self.is_listening, within=within, what=f"the ingress of {self.name}")
        wait_until(self.places.inward.is_socket, within=within, what=f"the Federator of {self.name}")

    def is_listening(self) -> bool:
        try:
            self.host.connect(self.host.ipv4, PORT, timeout=1.0).close()
        except OSError:
            return False
        return True

    def remote(self, other: "Organisation") -> dict[str, Any] | None:
        """What it holds of another organisation, as `isthmus remote show --json` shows it; None for nothing."""
        answer = self.api.get(f"/remotes/{other.domain}")
        if answer.status_code == NOT_FOUND:
            return None
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def await_remote(self, other: "Organisation", state: str, *, within: float = FOLLOW_SECONDS) -> dict[str, Any]:
        """Wait until the other one has this state here."""

        def found() -> dict[str, Any] | None:
            remote = self.remote(other)
            return remote if remote is not None and remote["state"] == state else None

        return wait_until(found, within=within, what=f"{other.domain} to be {state} at {self.domain}") or {}

    def pid(self, process: str) -> int | None:
        """Of `server`, `federator`, `ingress`, or the second one `federator-2`; None while it does not run."""
        name, _, number = process.partition("-")
        which = ["--replica", number] if number else []
        return next((pid for pid in children(self.up.pid) if is_called(command_of(pid), name, which)), None)

    def restart(self, process: str, *, within: float = FOLLOW_SECONDS) -> None:
        """Ask one of its processes to end and wait until the supervisor has started it again."""
        before = self.pid(process)
        self.kill(process, signal.SIGTERM)
        wait_until(lambda: self.pid(process) not in (None, before), within=within, what=f"another {process}")

    def kill(self, process: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one of its processes, if it runs."""
        if (pid := self.pid(process)) is not None:
            os.kill(pid, number)

    def stop_for_now(self, process: str) -> None:
        """Have it do nothing until it is sent SIGCONT."""
        pid = self.pid(process)
        self.kill(process, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == "T", within=STOP_SECONDS, what=f"{process} to stop")

    def signal_nginx(self, number: signal.Signals) -> None:
        """Send a signal to the master of its nginx."""
        if (pid := self.nginx()) is not None:
            os.kill(pid, number)

    def nginx_workers(self) -> set[int]:
        """Those that accept connections; one that is about to go does not count."""
        return {pid for pid in children(self.nginx()) if "shutting down" not in " ".join(command_of(pid))}

    def nginx(self, process: str = "ingress") -> int | None:
        """The master of its nginx, as seen from outside; None while none runs."""
        return next((pid for pid in children(self.pid(process)) if "nginx" in " ".join(command_of(pid))), None)

    def stop(self) -> int:
        """End all its processes in order."""
        return self.up.stop(within=STOP_SECONDS)


def federate(inviting: Organisation, accepting: Organisation) -> str:
    """The journey of two operators: invite, accept, compare the short code, confirm on both sides. Returns the code."""
    invitation = inviting.shortly("remote", "invite", accepting.domain)
    accepting.cli("remote", "accept", "-", input=invitation)
    codes = {one.await_remote(two, "pending")["short_code"] for one, two in both(inviting, accepting)}
    if len(codes) != 1:
        raise AssertionError(f"the two operators see different codes: {codes}")
    (code,) = codes
    for one, two in both(inviting, accepting):
        one.cli("remote", "confirm", two.domain, "--code", code)
    for one, two in both(inviting, accepting):
        one.await_remote(two, "active")
    return str(code)


def children(pid: int | None) -> list[int]:
    """Of a process, as seen from outside the lab."""
    if pid is None:
        return []
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state_of(pid: int | None) -> str:
    """One letter of proc(5): `T` is stopped. Empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def command_of(pid: int) -> list[str]:
    """The words that a process was started with, or calls itself by."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_called(command: Sequence[str], name: str, which: Sequence[str]) -> bool:
    """Whether this is how one of the processes of a backend was started."""
    end = command[command.index("--replica") :] if "--replica" in command else []
    return name in command[1:3] and list(end) == list(which)


def both(one: Organisation, two: Organisation) -> list[tuple[Organisation, Organisation]]:
    return [(one, two), (two, one)]
