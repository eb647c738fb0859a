"""A host of the lab: commands run on it, processes live on it, packets leave from it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab.clock import Clock
from lab.errors import CommandFailed
from lab.namespace import Namespace
from lab.network import Link
from lab.process import Process

TOOLS = Path(__file__).parent / "tools"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PING_INTERVAL_SECONDS = 0.002


@dataclass(frozen=True)
class PingResult:
    """What came back of `sent` echo requests; true when anything did."""

    sent: int
    received: int

    @property
    def loss(self) -> float:
        """Share of requests without an answer, in percent."""
        return 100 * (self.sent - self.received) / self.sent

    def __bool__(self) -> bool:
        return self.received > 0


class Host:
    """One machine: its own network, host name, machine id, /etc, /run, /var/lib and home folder.

    The rest of the file system, the checkout and /tmp included, is the real machine's.
    """

    def __init__(self, namespace: Namespace, link: Link, folder: Path, clock: Clock | None = None) -> None:
        self.name = namespace.name
        self.link = link
        self.clock = clock
        self.folder = folder
        self._namespace = namespace
        self._processes: list[Process] = []
        folder.mkdir()

    @property
    def ipv4(self) -> IPv4Address:
        """Its address: public on the internet, private behind NAT."""
        return self.link.ipv4

    @property
    def ipv6(self) -> IPv6Address:
        """Its IPv6 address, likewise."""
        return self.link.ipv6

    def path(self, path: str) -> Path:
        """Where a file of this host is found from outside, such as its /etc/wireguard/wg0.conf."""
        return self._namespace.path(path)

    def entering(self, command: Sequence[str]) -> list[str]:
        """`command` wrapped so that it runs on this host, as the child of whoever starts it."""
        return self._namespace.entering(command)

    def open_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this host for the process that calls, such as a test: its packets leave from here."""
        return self._namespace.open_socket(family, kind)

    def connect(self, address: IPv4Address | IPv6Address | str, port: int, *, timeout: float = 10.0) -> socket.socket:
        """A TCP connection from this host."""
        made = self.open_socket(socket.AF_INET6 if ":" in str(address) else socket.AF_INET)
        made.settimeout(timeout)
        try:
            made.connect((str(address), port))
        except OSError:
            made.close()
            raise
        return made

    def run(
        self,
        command: Sequence[str],
        *,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        check: bool = True,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in `/`, as root, with a clean environment plus `env`.

        Raises CommandFailed on a non-zero status (unless `check` is off) and when `timeout` seconds have passed.
        """
        process = subprocess.Popen(
            self._namespace.entering(command),
            env=self._environment(env),
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate(timeout=timeout)
            raise CommandFailed(self.name, command, f"took more than {timeout:g} s", stdout + stderr) from None
        if check and process.returncode != 0:
            raise CommandFailed(self.name, command, f"ended with status {process.returncode}", stdout + stderr)
        return subprocess.CompletedProcess(list(command), process.returncode, stdout, stderr)

    def start(
        self, command: Sequence[str], *, name: str | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process that stays; its log is `<folder>/<name>.log`, the name being the program's by default."""
        log = self.folder / f"{name or Path(command[0]).name}.log"
        process = Process(self._namespace, command, self._environment(env), log)
        self._processes.append(process)
        return process

    def ping(self, address: IPv4Address | IPv6Address | str, *, count: int = 3, timeout: float = 1.0) -> PingResult:
        """Send `count` echo requests and wait for the answers, `timeout` seconds for the last."""
        done = self.run(
            ["ping", "-n", "-q", "-c", str(count), "-i", str(PING_INTERVAL_SECONDS), "-W", str(timeout), str(address)],
            timeout=count * PING_INTERVAL_SECONDS + timeout + 10,
            check=False,
        )
        counts = re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout)
        if counts is None:
            # Status 2 is also "no route": that is an answer, a wrong argument is not.
            if "unreachable" in done.stderr:
                return PingResult(sent=count, received=0)
            raise CommandFailed(self.name, done.args, f"ended with status {done.returncode}", done.stderr)
        return PingResult(sent=int(counts[1]), received=int(counts[2]))

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        # Not the caller's environment: a proxy or a setting of the real machine has no meaning in the lab.
        return {
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PATH": f"{TOOLS}:{Path(sys.executable).parent}:{SYSTEM_PATH}",
            "PYTHONUNBUFFERED": "1",
            **(self.clock.environment if self.clock else {}),
            **(extra or {}),
        }

    def close(self) -> None:
        """Reap its processes once the guardian has ended the lab."""
        for process in self._processes:
            process.close()
