"""Real WireGuard interfaces of wireguard-go, in a network and mount namespace that die with the tests."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from isthmus.wireguard.tool import WgRun
from isthmus.wireguard.uapi import END

# wireguard-go names its sockets after interfaces, whatever the namespace: a folder of our own keeps `wg0` ours.
# It ends when its socket goes. `cat` ends with its standard input, so with the tests, however those end.
HOLD = """
set -e
mkdir -p /run/wireguard
mount -t tmpfs tmpfs /run/wireguard
ip link set lo up
echo ready
cat
rm -f /run/wireguard/*.sock
"""
TIMEOUT = 10


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for `condition`; fail with `what` after ten seconds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {TIMEOUT} s"
        time.sleep(0.02)


class Space(contextlib.ExitStack):
    """Namespaces without a name, which vanish with the last process in them; none outlives the tests."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._anchor = self._start(["unshare", "--net", "--mount", "sh", "-c", HOLD])
        assert self._anchor.stdout is not None
        assert self._anchor.stdout.readline() == b"ready\n"
        return self

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.callback(_end, process)
        return process

    def _inside(self, command: list[str]) -> list[str]:
        return ["nsenter", f"--target={self._anchor.pid}", "--net", "--mount", *command]

    def interface(self, name: str) -> None:
        """Make a WireGuard interface and wait until it answers."""
        process = self._start(self._inside(["wireguard-go", "--foreground", name]))
        self.callback(process.terminate)
        eventually(self._socket(name).exists, f"the start of {name}")

    def run(self, *command: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
        """What a command prints that runs, and has to succeed, in the namespace."""
        done = subprocess.run(
            self._inside(list(command)),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=os.environ | (env or {}),
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def wg(self, run: WgRun) -> None:
        self.run("wg", *run.arguments, stdin=run.stdin)

    def ask(self, name: str, request: bytes) -> bytes:
        """The answer of an interface to a request of the userspace protocol."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(self._socket(name)))
            connection.sendall(request)
            answer = b""
            while not answer.endswith(END):
                received = connection.recv(65_536)
                assert received, "the interface closed the connection"
                answer += received
            return answer

    def _socket(self, name: str) -> Path:
        return Path(f"/proc/{self._anchor.pid}/root/run/wireguard/{name}.sock")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
