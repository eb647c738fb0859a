"""What tests look at on a host: its WireGuard sessions, its state as a whole, and packets over a time."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from lab import Host, Lab, wait_until
from lab.mesh import Member

PING_SECONDS = 0.005
ANSWER_SECONDS = 0.3
FOLLOW_SECONDS = 10.0


@dataclass(frozen=True)
class Session:
    """What one interface knows of one neighbour; `rx` and `tx` in bytes, `handshake` in Unix seconds, 0 for never."""

    allowed_ips: frozenset[str]
    handshake: int
    rx: int
    tx: int


def sessions(member: Member) -> dict[str, Session]:
    """The neighbours of a member's interface, by public key."""
    # The first line is the interface's own, with its private key.
    lines = member.host.run(["wg", "show", member.interface, "dump"]).stdout.splitlines()[1:]
    found = {}
    for line in lines:
        key, _, _, allowed, handshake, rx, tx, _ = line.split("\t")
        ranges = frozenset() if allowed == "(none)" else frozenset(allowed.split(","))
        found[key] = Session(ranges, int(handshake), int(rx), int(tx))
    return found


def reaches(host: Host, address: object) -> bool:
    return bool(host.ping(str(address), count=1, timeout=ANSWER_SECONDS))


def accepts(host: Host, address: object, port: int) -> bool:
    """Whether `host` gets a TCP connection there."""
    script = f"import socket; socket.create_connection(({str(address)!r}, {port}), timeout={ANSWER_SECONDS})"
    return host.run([sys.executable, "-c", script], check=False).returncode == 0


@contextmanager
def underlay_way(lab: Lab, member: Member) -> Iterator[None]:
    """Lets hosts of the internet send packets for a member's tunnel address to the member's host, past all tunnels."""
    way = f"{member.ipv4}/32 via {member.host.ipv4} dev to-{member.name} onlink"
    lab.internet.router.ip(f"route add {way}")
    try:
        yield
    finally:
        lab.internet.router.ip(f"route delete {way}")


def misses(host: Host, address: object) -> bool:
    return not reaches(host, address)


def await_reach(host: Host, *addresses: object) -> None:
    """Wait until every address answers to `host`."""
    for address in addresses:
        wait_until(partial(reaches, host, address), within=FOLLOW_SECONDS, what=f"{address} to answer {host.name}")


def await_silence(host: Host, *addresses: object) -> None:
    """Wait until no address answers to `host`."""
    for address in addresses:
        wait_until(partial(misses, host, address), within=FOLLOW_SECONDS, what=f"{address} to be lost to {host.name}")


SETTINGS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.src_valid_mark",
    "net.ipv4.conf.all.rp_filter",
)


def network_state(host: Host) -> dict[str, str]:
    """All that an agent could have touched: links, addresses, routes, rules, nft, WireGuard and kernel settings."""
    commands = {
        "links": "ip -o link",
        "addresses": "ip -o address",
        "routes": "ip route show table all",
        "routes 6": "ip -6 route show table all",
        "rules": "ip rule",
        "rules 6": "ip -6 rule",
        "nft": "nft --stateless list ruleset",
        "lookups": "cat /etc/resolv.conf",
        "settings": f"sysctl {' '.join(SETTINGS)}",
        # The folder /run/wireguard is WireGuard's own, and stays.
        "files": "find /var/lib/isthmus-agent /run/isthmus-agent /run/wireguard/ -not -path /run/wireguard/",
    }
    return {name: _stable(host.run(command.split(), check=False).stdout) for name, command in commands.items()}


def _stable(text: str) -> str:
    """Without what changes by itself: life times of addresses, counters of WireGuard."""
    return re.sub(r"(valid_lft|preferred_lft|expires) \S+", "", text)


class Pinging:
    """Echo requests, two hundred a second if not told otherwise, while the block runs; `lost` and `sent` afterwards."""

    def __init__(self, host: Host, address: str, *, every: float = PING_SECONDS) -> None:
        self._host = host
        self._command = ["ping", "-n", "-q", "-i", str(every), address]

    def __enter__(self) -> Self:
        self._process = self._host.start(self._command, name=f"ping-{id(self)}")
        self._process.wait_for("PING")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.signal(signal.SIGINT)
        counts = self._process.wait_for("packets transmitted")
        found = re.search(r"(\d+) packets transmitted, (\d+) received", counts)
        if found is None:
            raise ValueError(f"ping printed {counts!r}")
        self.sent = int(found[1])
        # The last request may have left without time for its answer.
        self.lost = max(0, self.sent - int(found[2]) - 1)
