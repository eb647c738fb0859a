"""The namespaces of one lab host, and the processes that keep them alive and clean them up."""

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import guardian
from lab.errors import CommandFailed, LabUnavailable

START_SECONDS = 10
TOOL_SECONDS = 10
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

# Runs in the host's own mount, network and host-name namespaces. WireGuard's user-space sockets live in /run,
# keyed by interface name alone, so each host needs its own /run. Its /etc and /var/lib are the machine's with a
# layer of its own on top, which vanishes with the host. Files are put into that layer, never written through
# /etc: if an overlay failed to mount, that would be the machine's.
SETUP = """
mount -t proc lab /proc
mount -t sysfs lab /sys
mount -t tmpfs -o mode=755 lab /run
layer=/run/lab/layer
mkdir -p $layer/etc/wireguard $layer/etc/isthmus $layer/var/lib/isthmus /run/lab/work/etc /run/lab/work/var/lib
echo "$1" >$layer/etc/hostname
printf '127.0.0.1 localhost %s\\n::1 localhost %s\\n' "$1" "$1" >$layer/etc/hosts
tr -d - </proc/sys/kernel/random/uuid >$layer/etc/machine-id
touch $layer/etc/resolv.conf
for folder in etc var/lib; do
    mount -t overlay -o lowerdir=/$folder,upperdir=$layer/$folder,workdir=/run/lab/work/$folder lab /$folder
done
for private in /etc/wireguard /etc/isthmus /var/lib/isthmus; do
    mount -t tmpfs -o mode=700 lab $private
done
hostname "$1"
cd /proc/sys/net
for scope in all default; do
    echo 0 >ipv6/conf/$scope/disable_ipv6
    echo 0 >ipv6/conf/$scope/accept_dad
done
echo "$2" >ipv4/ip_forward
echo "$2" >ipv6/conf/all/forwarding
ip link set lo up
cd /
echo ready
exec sleep infinity
"""


def child_of(pid: int) -> int | None:
    """The first child of process `pid`, or None when it has none (any more)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None


def await_ready(process: "subprocess.Popen[str]", what: str) -> int:
    """Wait until the child of `process` prints "ready", and return the child's pid."""
    answer = "no answer"
    stdout = process.stdout
    if stdout is not None and select.select([stdout], [], [], START_SECONDS)[0]:
        answer = stdout.readline()
    child = child_of(process.pid)
    if answer == "ready\n" and child is not None:
        return child
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=START_SECONDS)
    raise LabUnavailable(
        f"cannot create {what}: {(answer + rest).strip()}; namespaces need root and, in a container, --privileged"
    )


class Guardian:
    """Ends a lab: when told to, or when the owner dies in whatever way.

    `pid` is process 1 of the PID namespace in which everything of the lab runs.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="isthmus-lab-"))
        owner = os.pidfd_open(os.getpid())
        try:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--pid", "--fork", "--"),
                    *(sys.executable, "-I", "-S", guardian.__file__, str(owner), str(self.folder)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=[owner],
                start_new_session=True,
            )
        finally:
            os.close(owner)
        try:
            self.pid = await_ready(self._process, "a PID namespace")
        except LabUnavailable:
            self.folder.rmdir()
            raise

    def finish(self) -> None:
        """Kill everything in the lab, remove its folder, and wait until that is done."""
        output, _ = self._process.communicate("\n", timeout=START_SECONDS + guardian.KILL_SECONDS)
        if self._process.returncode != 0:
            raise CommandFailed("this machine", ["lab/guardian.py"], "failed", output)


class Namespace:
    """Network, mount and host-name namespaces, alive as long as the lab."""

    def __init__(self, name: str, guardian_pid: int, *, forwards: bool = False) -> None:
        self.name = name
        self._holder = subprocess.Popen(
            [
                *("nsenter", "--target", str(guardian_pid), "--pid", "--"),
                *("unshare", "--net", "--mount", "--uts", "--"),
                *("sh", "-euc", SETUP, "sh", name, "1" if forwards else "0"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = await_ready(self._holder, f"the namespaces of {name}")

    def entering(self, command: Sequence[str]) -> list[str]:
        """`command` as seen from outside: wrapped so that it runs in here, as the child of what is started."""
        namespaces = ["--net", "--mount", "--uts", "--pid"]
        return ["nsenter", "--target", str(self.pid), *namespaces, "--", *command]

    def path(self, path: str) -> Path:
        """Where a file of the host is found from outside."""
        return Path(f"/proc/{self.pid}/root") / path.lstrip("/")

    def ip(self, *commands: str) -> None:
        """Run ip(8) commands, all or none reported; `netns PID` in them means a pid as seen from outside."""
        self._configure(["ip", "-batch", "-"], "\n".join(commands))

    def nft(self, script: str) -> None:
        """Apply an nftables script as one transaction."""
        self._configure(["nft", "-f", "-"], script)

    def open_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this namespace for the process that calls: what it sends leaves from here."""
        with ThreadPoolExecutor(1) as thread:
            # A thread has a network namespace of its own, which ends with it; the socket stays where it was made.
            return thread.submit(self._make_socket, family, kind).result(TOOL_SECONDS)

    def _make_socket(self, family: int, kind: int) -> socket.socket:
        with Path(f"/proc/{self.pid}/ns/net").open("rb") as network:
            if LIBC.setns(network.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter the network of {self.name}")
        return socket.socket(family, kind)

    def _configure(self, tool: list[str], script: str) -> None:
        # Only the network namespace: it needs no fork, and pids keep their outside meaning.
        command = ["nsenter", "--target", str(self.pid), "--net", "--", *tool]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
        if done.returncode != 0:
            raise CommandFailed(self.name, tool, f"failed on\n{script}\nwith", done.stderr)

    def close(self) -> None:
        """Reap what held the namespaces, once the guardian has ended the lab."""
        self._holder.communicate(timeout=START_SECONDS)
