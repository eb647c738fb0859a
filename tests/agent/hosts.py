"""Lab hosts with the agent's parts on them, and the configs of a small network between them."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from isthmus.agent.state import Applied
from isthmus.protocol.agent import Config, Forwarding, Neighbour
from lab import CommandFailed, Host
from tests.agent.builders import a_config

CHECKOUT = Path(__file__).resolve().parents[2]
INTERFACE = "ist-office"
NETWORK = ("10.20.0.0/24", "fd00:20::/64")
EVERYTHING = ("0.0.0.0/0", "::/0")
GATEWAY = "198.51.100.7"


@dataclass
class AgentHost:
    """One host of the network; `number` is the last part of its addresses."""

    host: Host
    number: int
    public_key: str = ""

    def __post_init__(self) -> None:
        self.public_key = self.drive("init", "office")["public_key"]

    @property
    def v4(self) -> str:
        return f"10.20.0.{self.number}"

    @property
    def v6(self) -> str:
        return f"fd00:20::{self.number}"

    def drive(self, command: str, text: str = "", **settings: str) -> Any:
        """The answer of the driver; `CommandFailed` with the refusal when there is none."""
        env = {f"ISTHMUS_AGENT_{name.upper()}": value for name, value in settings.items()}
        done = self.host.run(
            [sys.executable, "-m", "tests.agent.driver", command],
            input=text,
            env={"PYTHONPATH": str(CHECKOUT), **env},
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(self.host.name, done.args, "refused", done.stderr)
        return json.loads(done.stdout)

    def apply(self, config: Config, revision: int = 1) -> Any:
        return self.drive("apply", msgspec.json.encode(Applied(revision, config)).decode())

    def shell(self, command: str) -> str:
        return self.host.run(["sh", "-euc", command]).stdout

    def as_member(self, *, isolated: bool = False, encapsulated: bool = False) -> Neighbour:
        allowed = (f"{self.v4}/32", f"{self.v6}/128")
        return Neighbour(self.host.name, self.public_key, allowed, isolated=isolated, encapsulated=encapsulated)

    def jump_config(self, *members: "AgentHost | Neighbour") -> Config:
        return a_config(
            *(member.as_member() if isinstance(member, AgentHost) else member for member in members),
            addresses=(self.v4, self.v6),
            listen_port=51820,
            routes=NETWORK,
            forwarding=Forwarding(between_peers=True),
        )

    def member_config(self, gateway: "AgentHost", *, routes: tuple[str, ...] = NETWORK, **changes: Any) -> Config:
        via = Neighbour("gw", gateway.public_key, routes, "primary", f"{GATEWAY}:51820", 25)
        return a_config(via, addresses=(self.v4, self.v6), routes=routes, **changes)
