"""Hosts of a lab whose agents keep the ways of their packets, with the configs that a server would send them."""

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import msgspec

from isthmus.protocol.agent import Config, Neighbour
from lab import Host, Process, wait_until
from tests.agent.hosts import CHECKOUT, INTERFACE, NETWORK, AgentHost


@dataclass(frozen=True)
class Shown:
    """What `wg` shows of one neighbour."""

    endpoint: str
    allowed_ips: frozenset[str]
    handshake: int
    rx: int
    tx: int


@dataclass
class Wayfarer(AgentHost):
    """A host behind something, whose agent runs once `keep` was called."""

    running: Process | None = field(default=None)

    def shown(self) -> dict[str, Shown]:
        """The neighbours by public key."""
        lines = self.shell(f"wg show {INTERFACE} dump").splitlines()[1:]
        found = {}
        for line in lines:
            key, _, endpoint, allowed, handshake, rx, tx, _ = line.split("\t")
            prefixes = frozenset() if allowed == "(none)" else frozenset(allowed.split(","))
            found[key] = Shown(endpoint, prefixes, int(handshake), int(rx), int(tx))
        return found

    def keep(self, timing: dict[str, float] | None = None, patience: dict[str, float] | None = None) -> None:
        env = {"PYTHONPATH": str(CHECKOUT), "TIMING": json.dumps(timing or {}), "PATIENCE": json.dumps(patience or {})}
        command = [sys.executable, "-m", "tests.agent.driver", "ways"]
        self.running = self.host.start(command, name=f"ways-{self.number}", env=env)
        self.running.wait_for("keeping")

    def end(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None

    @property
    def prefixes(self) -> tuple[str, str]:
        return f"{self.v4}/32", f"{self.v6}/128"

    def goes_directly_to(self, other: "Wayfarer") -> bool:
        shown = self.shown().get(other.public_key)
        return shown is not None and shown.allowed_ips == set(other.prefixes)

    def tries(self, other: "Wayfarer") -> bool:
        """Whether it sends handshakes to the other, by itself."""
        keepalives = dict(line.split() for line in self.shell(f"wg show {INTERFACE} persistent-keepalive").splitlines())
        return keepalives.get(other.public_key, "25") != "off"

    def as_direct(self, jump: "Wayfarer") -> Neighbour:
        """What the server says of it to the others: its own endpoint, and the one that a jump peer observes."""
        port = self.shell(f"wg show {INTERFACE} listen-port").strip()
        seen = jump.shown()[self.public_key].endpoint
        candidates = tuple(dict.fromkeys((f"{self.host.ipv4}:{port}", seen)))
        return Neighbour(
            self.host.name, self.public_key, (), "direct", keepalive=25, candidates=candidates, takes=self.prefixes
        )

    def through(self, primary: "Wayfarer", *others: Neighbour, **changes: Any) -> Config:
        """Its config with `primary` as the way to all that `others` do not take."""
        via = Neighbour(
            primary.host.name,
            primary.public_key,
            (*primary.prefixes, *NETWORK),
            "primary",
            f"{primary.host.ipv4}:51820",
            25,
        )
        config = self.member_config(primary, **changes)
        return msgspec.structs.replace(config, neighbours=(via, *others))

    def as_standby(self) -> Neighbour:
        return Neighbour(
            self.host.name, self.public_key, self.prefixes, "standby", f"{self.host.ipv4}:51820", keepalive=25
        )


def await_reach(host: Host, address: str, within: float = 10.0) -> None:
    wait_until(lambda: host.ping(address, count=1, timeout=0.3), within=within, what=f"an answer of {address}")
