"""The demo's first steps: networks and peers come, change and go."""

from functools import partial

from lab.backend import Backend
from lab.journey import FOLLOW_SECONDS, NETWORK, Journey
from lab.nat import NatKind
from lab.waiting import wait_until
from lab.wireguard import quick_down, quick_up

JUMP_ADDRESS = "198.51.100.7"
# The server waits 5 s for connections that were cut, as gw's was, before it gives them up.
STOP_SECONDS = 10.0
NATS = {"home": NatKind.PORT_RESTRICTED, "cafe": NatKind.RESTRICTED}


def create(journey: Journey) -> None:
    """A network, and a jump peer through which others are reached"""
    journey.backend.cli("network", "create", NETWORK, "--cidr", "10.20.0.0/24")
    jump = journey.lab.host("gw", address=JUMP_ADDRESS)
    journey.joins(jump, "--kind", "jump", "--endpoint", f"{JUMP_ADDRESS}:51820")


def join(journey: Journey) -> None:
    """Two laptops behind different NAT routers join, and reach each other through the jump peer"""
    for name, nat in (("laptop", "home"), ("tablet", "cafe")):
        journey.joins(journey.lab.host(name, behind=journey.lab.nat(nat, kind=NATS[nat])))
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
    host = journey.lab.host("phone", behind=journey.lab.nat("carrier", kind=NatKind.SYMMETRIC))
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


def leave(journey: Journey) -> None:
    """Everything goes: the agents leave their hosts, the server stops"""
    for name, member in journey.backend.members.items():
        if not member.agent.running:
            continue
        member.agent.stop()
        journey.backend.type(member.host, "isthmus", "agent", "leave")
        gone = member.host.run(["ip", "link", "show", member.interface], check=False).returncode != 0
        if not gone:
            raise AssertionError(f"{member.interface} is still there on {name}")
    journey.backend.server.stop(within=STOP_SECONDS)
    journey.say.fact("no interface is left, and the server has stopped")
