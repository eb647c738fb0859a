"""Two organisations of lab hosts whose networks a bridge joins, and packets between them.

The gateway of the far side filters nothing, so that whatever is stopped was stopped by ours.
"""

import json
import socket
from dataclasses import dataclass, field
from typing import Any

import msgspec

from isthmus.protocol.agent import Bridged, Config, Crossing, Flow, Forwarding, Neighbour
from lab import Lab, wait_until
from tests.agent.bridges import a_crossing, bridged
from tests.agent.builders import a_config
from tests.agent.hosts import GATEWAY, INTERFACE, NETWORK, AgentHost

FAR_GATEWAY, THIRD_GATEWAY = "198.51.100.30", "198.51.100.40"
PORT = 5000
SECONDS = 20.0


@dataclass
class SideHost(AgentHost):
    """A host of the network 10.`side`.0.0/24."""

    side: int = 20

    @property
    def v4(self) -> str:
        return f"10.{self.side}.0.{self.number}"

    @property
    def v6(self) -> str:
        return f"fd00:{self.side}::{self.number}"

    @property
    def network(self) -> tuple[str, str]:
        return f"10.{self.side}.0.0/24", f"fd00:{self.side}::/64"

    def listen(self, port: int = PORT, *, kind: int = socket.SOCK_DGRAM, address: str | None = None) -> socket.socket:
        at = address or self.v4
        made = self.host.open_socket(socket.AF_INET6 if ":" in at else socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((at, port))
        made.settimeout(SECONDS)
        if kind == socket.SOCK_STREAM:
            made.listen()
        return made

    def config_through(self, gateway: "SideHost", *others: str, **changes: Any) -> Config:
        """A member's, whose gateway leads to the networks `others` too."""
        routes = (*gateway.network, *others)
        endpoint = f"{gateway.host.ipv4}:51820"
        via = Neighbour(
            "gw", gateway.public_key, (f"{gateway.v4}/32", f"{gateway.v6}/128", *routes), "primary", endpoint, 25
        )
        return a_config(via, addresses=(self.v4, self.v6), routes=routes, **changes)

    def config_of_open_gateway(self, near: "SideHost", *members: "SideHost", others: tuple[str, ...] = ()) -> Config:
        """A gateway's that takes everything from `near` for the networks of its side and `others`."""
        away = (*near.network, *others)
        remote = Neighbour("near", near.public_key, away, endpoint=f"{near.host.ipv4}:51820", keepalive=1)
        return a_config(
            *(member.as_member() for member in members),
            remote,
            addresses=(self.v4, self.v6),
            listen_port=51820,
            routes=(*self.network, *away),
            forwarding=Forwarding(between_peers=True),
        )


@dataclass
class Sides:
    """Ours: a gateway, `one` and `two`. Theirs: a gateway, `far` and `stranger`. `third` is a gateway of a third."""

    lab: Lab
    gw: SideHost = field(init=False)
    one: SideHost = field(init=False)
    two: SideHost = field(init=False)
    far_gw: SideHost = field(init=False)
    far: SideHost = field(init=False)
    stranger: SideHost = field(init=False)
    third: SideHost = field(init=False)
    revision: int = 1

    def __post_init__(self) -> None:
        self.gw = SideHost(self.lab.host("gw", address=GATEWAY), 1)
        self.one, self.two = SideHost(self.lab.host("one"), 2), SideHost(self.lab.host("two"), 3)
        self.far_gw = SideHost(self.lab.host("far-gw", address=FAR_GATEWAY), 1, side=30)
        self.far = SideHost(self.lab.host("far"), 5, side=30)
        self.stranger = SideHost(self.lab.host("stranger"), 6, side=30)
        self.third = SideHost(self.lab.host("third", address=THIRD_GATEWAY), 1, side=40)
        theirs, third = self.far_gw.network, self.third.network
        self.far_gw.apply(self.far_gw.config_of_open_gateway(self.gw, self.far, self.stranger, others=third))
        self.third.apply(self.third.config_of_open_gateway(self.gw, others=theirs))
        for each in (self.far, self.stranger):
            each.apply(each.config_through(self.far_gw, *NETWORK, *third))
        for each in (self.one, self.two):
            each.apply(each.config_through(self.gw, bridged=Bridged(60, (*theirs, *third))))

    def crossing(self, *flows: Flow, **changes: Any) -> Crossing:
        given: dict[str, Any] = {
            "public_key": self.far_gw.public_key,
            "endpoint": f"{FAR_GATEWAY}:51820",
            "prefixes": self.far_gw.network,
            "local": NETWORK,
            "keepalive": 1,
        }
        return a_crossing(*flows, **(given | changes))

    def config(self, *crossings: Crossing, lease: int = 60, **changes: Any) -> Config:
        """The gateway's, with these bridges."""
        config = self.gw.jump_config(self.one, self.two)
        return msgspec.structs.replace(config, bridged=bridged(*crossings, lease=lease), **changes)

    def open(self, *flows: Flow, **changes: Any) -> Any:
        """Have the gateway apply a bridge with these flows, and wait until the tunnel between the gateways stands."""
        done = self.apply(self.config(self.crossing(*flows, **changes)))
        wait_until(lambda: self.handshake_with(self.far_gw), within=SECONDS, what="a handshake of the gateways")
        return done

    def apply(self, config: Config) -> Any:
        self.revision += 1
        return self.gw.apply(config, self.revision)

    def drive_plan(self) -> Any:
        return self.gw.drive("plan")

    def handshake_with(self, other: SideHost) -> bool:
        lines = self.gw.shell(f"wg show {INTERFACE} latest-handshakes").splitlines()
        return any(line.split() != [other.public_key, "0"] and other.public_key in line for line in lines)

    def counted(self, kind: str) -> int:
        """Packets that the gateway's counters of a kind show together: flow, dropped or forged."""
        items = json.loads(self.gw.shell("nft -j list counters"))["nftables"]
        counters = [item["counter"] for item in items if "counter" in item]
        return sum(each["packets"] for each in counters if f"__{kind}_" in each["name"])


def sent(sender: socket.socket, text: str, to: tuple[str, int]) -> None:
    sender.sendto(text.encode(), to)


def heard(receiver: socket.socket) -> str:
    """The next message; TimeoutError when none comes in a long time."""
    return receiver.recvfrom(2048)[0].decode()


def waiting(receiver: socket.socket) -> list[str]:
    """What has come and was not taken yet."""
    found = []
    receiver.setblocking(False)
    try:
        while True:
            found.append(receiver.recvfrom(2048)[0].decode())
    except BlockingIOError:
        return found
    finally:
        receiver.settimeout(SECONDS)
