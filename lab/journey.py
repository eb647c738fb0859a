"""What the demo's steps are made of: a mesh, what a person does with it, and what is seen to come of it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lab.backend import Backend
from lab.host import Host
from lab.lab import Lab
from lab.mesh import Member, token_in
from lab.terminal import Terminal
from lab.waiting import wait_until

NETWORK = "office"
FOLLOW_SECONDS = 10.0
ANSWER_SECONDS = 0.3


@dataclass
class Journey:
    """One backend with its jump peers and the hosts behind NAT routers of their own, and what is told of it."""

    say: Terminal
    backend: Backend

    @property
    def lab(self) -> Lab:
        return self.backend.lab

    def logs(self) -> dict[str, str]:
        return self.backend.logs()

    def member(self, name: str) -> Member:
        return self.backend.members[name]

    def joins(self, host: Host, *options: str) -> None:
        """What a person does for a new peer: create it, enroll its host with the token, run the agent."""
        self.enrolls(host, self.backend.cli("peer", "create", host.name, "--network", NETWORK, *options))

    def enrolls(self, host: Host, printed: str) -> None:
        """Use the token that a command printed."""
        self.backend.enroll(host, token_in(printed))
        self.backend.run_agent(host, NETWORK)

    def reaches(self, host: Host, name: str, *addresses: str, within: float | None = None) -> None:
        """See every address answer, in time."""
        for address in addresses:
            what = f"{address} ({name}) to answer {host.name}"
            wait_until(partial(answers, host, address), within=within or FOLLOW_SECONDS, what=what)
        self.say.fact(f"{host.name} pings {name}: {' and '.join(addresses)}")

    def reaches_not(self, host: Host, name: str, *addresses: str) -> None:
        """See no address answer any more, in time."""
        for address in addresses:
            what = f"{address} ({name}) to be silent for {host.name}"
            wait_until(partial(is_silent, host, address), within=FOLLOW_SECONDS, what=what)
        self.say.fact(f"{host.name} does not reach {name}: {' and '.join(addresses)}")

    def waits(self, what: str, condition: Callable[[], bool], *, within: float) -> float:
        """Say what is waited for where it takes long; returns the seconds."""
        self.say.note(f"… waiting for {what}, {within:.0f} s at most")
        started = time.monotonic()
        wait_until(condition, within=within, what=what)
        return time.monotonic() - started

    def expects(self, holds: bool, text: str) -> None:
        """A fact if it holds, the end of the journey if not."""
        if not holds:
            raise AssertionError(f"this does not hold: {text}")
        self.say.fact(text)


def answers(host: Host, address: str) -> bool:
    return bool(host.ping(address, count=1, timeout=ANSWER_SECONDS))


def is_silent(host: Host, address: str) -> bool:
    return not answers(host, address)


def way(host: Host, name: str) -> str | None:
    """How packets of a host go to a neighbour now, as `isthmus agent status` tells it."""
    status = json.loads(host.run(["isthmus", "agent", "status", "--json"]).stdout)
    return next((each["way"] for each in status["neighbours"] if each["name"] == name), None)


def keys_known(member: Member) -> set[str]:
    """The public keys of the neighbours on a member's interface."""
    return set(member.host.run(["wg", "show", member.interface, "peers"]).stdout.split())
