"""The journey of a new user, step by step on a terminal: each command as it is typed, and what comes of it."""

from dataclasses import dataclass
from functools import partial

from lab.backend import Backend, Member, token_in
from lab.errors import CommandFailed, LabUnavailable
from lab.host import Host
from lab.lab import Lab
from lab.terminal import Terminal
from lab.waiting import wait_until
from lab.wireguard import quick_down, quick_up

FOLLOW_SECONDS = 10.0
ANSWER_SECONDS = 0.3
LOG_LINES = 20
JUMP_ADDRESS = "198.51.100.7"
NETWORK = "office"
INTERRUPTED = 130


@dataclass
class Journey:
    """One backend with a jump peer and two laptops behind NAT routers of their own, and what is told of it."""

    say: Terminal
    backend: Backend

    @property
    def lab(self) -> Lab:
        return self.backend.lab

    def member(self, name: str) -> Member:
        return self.backend.members[name]

    def joins(self, host: Host, *options: str) -> None:
        """What a person does for a new peer: create it, enroll its host with the token, run the agent."""
        token = token_in(self.backend.cli("peer", "create", host.name, "--network", NETWORK, *options))
        self.backend.enroll(host, token)
        self.backend.run_agent(host, NETWORK)

    def reaches(self, host: Host, name: str, *addresses: str) -> None:
        """See every address answer, in time."""
        for address in addresses:
            what = f"{address} ({name}) to answer {host.name}"
            wait_until(partial(answers, host, address), within=FOLLOW_SECONDS, what=what)
        self.say.fact(f"{host.name} pings {name}: {' and '.join(addresses)}")

    def reaches_not(self, host: Host, name: str, *addresses: str) -> None:
        """See no address answer any more, in time."""
        for address in addresses:
            what = f"{address} ({name}) to be silent for {host.name}"
            wait_until(partial(is_silent, host, address), within=FOLLOW_SECONDS, what=what)
        self.say.fact(f"{host.name} does not reach {name}: {' and '.join(addresses)}")


def answers(host: Host, address: str) -> bool:
    return bool(host.ping(address, count=1, timeout=ANSWER_SECONDS))


def is_silent(host: Host, address: str) -> bool:
    return not answers(host, address)


def create(journey: Journey) -> None:
    """A network, and a jump peer through which others are reached"""
    journey.backend.cli("network", "create", NETWORK, "--cidr", "10.20.0.0/24")
    jump = journey.lab.host("gw", address=JUMP_ADDRESS)
    journey.joins(jump, "--kind", "jump", "--endpoint", f"{JUMP_ADDRESS}:51820")


def join(journey: Journey) -> None:
    """Two laptops behind different NAT routers join, and reach each other through the jump peer"""
    for name, nat in (("laptop", "home"), ("tablet", "cafe")):
        journey.joins(journey.lab.host(name, behind=journey.lab.nat(nat)))
    seconds = journey.backend.settle()
    journey.say.fact(f"all hosts had applied their config {seconds:.1f} s later")
    gw, laptop, tablet = (journey.member(name) for name in ("gw", "laptop", "tablet"))
    journey.reaches(laptop.host, "gw", gw.ipv4, gw.ipv6)
    journey.reaches(laptop.host, "tablet", tablet.ipv4, tablet.ipv6)
    journey.reaches(tablet.host, "laptop", laptop.ipv4, laptop.ipv6)


def phone(journey: Journey) -> None:
    """A phone without an agent: its config is shown once, and plain wg-quick uses it"""
    conf = journey.backend.cli("peer", "create", "phone", "--network", NETWORK, "--kind", "static")
    journey.say.note("(its private key may be read here: it ends with this lab)")
    host = journey.lab.host("phone", behind=journey.lab.nat("carrier"))
    quick_up(host, conf)
    journey.say.command(host, ["wg-quick", "up", "wg0"], "")
    for name in ("gw", "laptop"):
        journey.reaches(host, name, journey.member(name).ipv4, journey.member(name).ipv6)


def overview(journey: Journey) -> None:
    """What the server knows of them"""
    seen = partial(has_handshakes, journey.backend)
    wait_until(seen, within=FOLLOW_SECONDS, what="the handshakes that the jump peer reports")
    journey.backend.cli("peer", "list")
    journey.backend.type(journey.member("laptop").host, "isthmus", "agent", "status")


def has_handshakes(backend: Backend) -> bool:
    return all(backend.peer(name)["status"]["latest_handshake"] for name in ("laptop", "tablet", "phone"))


def isolate(journey: Journey) -> None:
    """A flag changes: the tablet is isolated, and is so no more"""
    laptop, tablet, gw = (journey.member(name) for name in ("laptop", "tablet", "gw"))
    journey.backend.cli("peer", "update", "tablet", "--isolated")
    journey.reaches_not(laptop.host, "tablet", tablet.ipv4, tablet.ipv6)
    journey.reaches(tablet.host, "gw", gw.ipv4, gw.ipv6)
    journey.backend.cli("peer", "update", "tablet", "--no-isolated")
    journey.reaches(laptop.host, "tablet", tablet.ipv4, tablet.ipv6)


def renumber(journey: Journey) -> None:
    """The network gets other addresses; the phone must be handed a new config, so it has to be meant"""
    laptop, tablet = journey.member("laptop"), journey.member("tablet")
    journey.backend.cli("network", "update", NETWORK, "--cidr", "10.99.0.0/24", "--force")
    journey.backend.settle()
    journey.backend.renumbered()
    journey.say.fact("the agents have followed, without a restart")
    journey.reaches(laptop.host, "tablet", tablet.ipv4, tablet.ipv6)
    conf = journey.backend.cli("peer", "regenerate", "phone", "--network", NETWORK)
    host = journey.lab.hosts["phone"]
    quick_down(host)
    quick_up(host, conf)
    journey.say.command(host, ["wg-quick", "up", "wg0"], "")
    journey.reaches(host, "laptop", laptop.ipv4, laptop.ipv6)


def delete(journey: Journey) -> None:
    """A peer is deleted: its host takes its tunnel down, the others forget its key"""
    tablet = journey.member("tablet")
    journey.backend.cli("peer", "delete", "tablet")
    journey.reaches_not(journey.member("laptop").host, "tablet", tablet.ipv4, tablet.ipv6)
    wait_until(lambda: not tablet.agent.running, within=FOLLOW_SECONDS, what="the tablet's agent to end")
    journey.say.fact("the tablet's agent has ended")
    laptop, gw = journey.member("laptop"), journey.member("gw")
    journey.reaches(laptop.host, "gw", gw.ipv4, gw.ipv6)


def leave(journey: Journey) -> None:
    """Everything goes: the agents leave their hosts, the server stops"""
    for name in ("laptop", "gw"):
        member = journey.member(name)
        member.agent.stop()
        journey.backend.type(member.host, "isthmus", "agent", "leave")
        gone = member.host.run(["ip", "link", "show", member.interface], check=False).returncode != 0
        if not gone:
            raise AssertionError(f"{member.interface} is still there on {name}")
    journey.backend.server.stop()
    journey.say.fact("no interface is left, and the server has stopped")


STEPS = [create, join, phone, overview, isolate, renumber, delete, leave]


def main() -> int:
    """Run the journey; returns 0, 1 where something was not as expected, or 130 after Ctrl-C."""
    say = Terminal()
    try:
        with Lab() as lab:
            say.step("A server starts, on an empty database")
            with Backend(lab, watch=say.command) as backend:
                return travel(Journey(say, backend))
    except KeyboardInterrupt:
        say.failure("interrupted: all hosts, tunnels and processes of the lab are gone")
        return INTERRUPTED
    except (LabUnavailable, CommandFailed) as failure:
        say.failure(str(failure))
        return 1


def travel(journey: Journey) -> int:
    """Take every step; the first that fails ends the journey with the logs that tell why."""
    for step in STEPS:
        journey.say.step(step.__doc__ or step.__name__)
        try:
            step(journey)
        except (TimeoutError, CommandFailed, AssertionError) as failure:
            journey.say.failure(f"{step.__name__}: {failure}")
            for name, text in journey.backend.logs().items():
                journey.say.log(name, text.splitlines()[-LOG_LINES:])
            return 1
    journey.say.end(f"{journey.say.facts} expectations held; {len(journey.lab.hosts)} hosts are taken away")
    return 0
