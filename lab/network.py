"""The networks of a lab: an internet of routed links, and local networks behind NAT."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import permutations

from lab import nat
from lab.namespace import Namespace
from lab.nat import NatKind

PUBLIC = [IPv4Network("198.51.100.0/24"), IPv4Network("203.0.113.0/24")]
PUBLIC_V6 = IPv6Network("2001:db8::/96")
PRIVATE = IPv4Network("192.168.0.0/16")
PRIVATE_V6 = IPv6Network("fd00:1ab::/48")
# Every link to the internet has the same gateway: the host's routes name the device.
GATEWAY = "192.0.2.1"
GATEWAY_V6 = "fe80::1"

# Neighbour discovery stays free of loss: one lost solicitation stalls a link for a second, so that the
# percentage would no longer say how much gets through.
DROP = """
table netdev loss-{device}
delete table netdev loss-{device}
table netdev loss-{device} {{
    chain from-host {{
        type filter hook ingress device "{device}" priority 0
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        meta protocol {{ ip, ip6 }} {chance} drop
    }}
    chain to-host {{
        type filter hook egress device "{device}" priority 0
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        meta protocol {{ ip, ip6 }} {chance} drop
    }}
}}
"""


PARTED = """
table inet parted
delete table inet parted
table inet parted {{
    chain forward {{
        type filter hook forward priority filter
        {rules}
    }}
}}
"""


@dataclass(frozen=True)
class Link:
    """A host's cable: `eth0` at the host, `device` at the router."""

    router: Namespace
    device: str
    ipv4: IPv4Address
    ipv6: IPv6Address

    def lose(self, percent: float) -> None:
        """Drop this share of the packets of each direction, at random; 100 cuts the link, 0 mends it."""
        if not 0 <= percent <= 100:
            raise ValueError(f"loss is a percentage, not {percent}")
        chance = "" if percent == 100 else f"numgen random mod 10000 < {round(percent * 100)}"
        self.router.nft(DROP.format(device=self.device, chance=chance))


def plug(router: Namespace, host: Namespace, old: Link | None = None) -> str:
    """Lay a cable between the two, or take the `old` one from where it was, and return the name of the router's end.

    The host's end stays the same device, as when a laptop joins another network: it goes down and loses its addresses.
    """
    device = f"to-{host.name}"
    if old is None:
        router.ip(f"link add {device} type veth peer name eth0 netns {host.pid}")
    else:
        old.lose(0)
        host.ip("link set eth0 down", "address flush dev eth0")
        old.router.ip(f"link set {device} down", f"address flush dev {device}")
        if old.router is not router:
            old.router.ip(f"link set {device} netns {router.pid}")
    router.ip(f"link set {device} up")
    return device


@dataclass
class Internet:
    """One router with a link to every public host. It knows no private address."""

    router: Namespace
    _taken: set[IPv4Address] = field(default_factory=set)
    _parted: set[frozenset[Link]] = field(default_factory=set)

    def part(self, one: Link, two: Link, *, lose: bool) -> None:
        """Drop all that goes between two public hosts, or let it pass again; neither is told."""
        pair = frozenset((one, two))
        self._parted = self._parted | {pair} if lose else self._parted - {pair}
        rules = [
            f"{family} saddr {getattr(here, name)} {family} daddr {getattr(there, name)} drop"
            for pair in self._parted
            for here, there in permutations(pair)
            for family, name in (("ip", "ipv4"), ("ip6", "ipv6"))
        ]
        self.router.nft(PARTED.format(rules="\n        ".join(rules)))

    def attach(self, host: Namespace, wanted: str | None, old: Link | None = None) -> Link:
        """Connect a host under the address `wanted`, or the next free one; IPv6 embeds the IPv4 address."""
        ipv4 = self._take(wanted)
        ipv6 = PUBLIC_V6[int(ipv4)]
        device = plug(self.router, host, old)
        self.router.ip(
            f"address add {GATEWAY}/32 dev {device}",
            f"address add {GATEWAY_V6}/64 dev {device}",
            f"route add {ipv4}/32 dev {device}",
            f"route add {ipv6}/128 dev {device}",
        )
        host.ip(
            f"address add {ipv4}/32 dev eth0",
            f"address add {ipv6}/128 dev eth0",
            "link set eth0 up",
            f"route add default via {GATEWAY} dev eth0 onlink",
            f"route add default via {GATEWAY_V6} dev eth0",
        )
        return Link(self.router, device, ipv4, ipv6)

    def _take(self, wanted: str | None) -> IPv4Address:
        if wanted is None:
            address = next(ip for network in PUBLIC for ip in network.hosts() if ip not in self._taken)
        else:
            address = IPv4Address(wanted)
        if address in self._taken:
            raise ValueError(f"{address} is taken by another host of this lab")
        if not any(address in network for network in PUBLIC):
            raise ValueError(f"{address} is in none of the documentation ranges {', '.join(map(str, PUBLIC))}")
        self._taken.add(address)
        return address


class LocalNetwork:
    """A switch behind a router that hides it, with private addresses in both families."""

    def __init__(self, router: Namespace, number: int, kind: NatKind) -> None:
        self.router = router
        self.ipv4 = IPv4Network((PRIVATE[number * 256], 24))
        self.ipv6 = IPv6Network((PRIVATE_V6[number << 64], 64))
        self._hosts = 0
        router.ip(
            "link add lan type bridge",
            f"address add {self.ipv4[1]}/24 dev lan",
            f"address add {self.ipv6[1]}/64 dev lan",
            "link set lan up",
        )
        router.nft(nat.script(kind))

    def attach(self, host: Namespace, old: Link | None = None) -> Link:
        """Connect a host under the next free address."""
        self._hosts += 1
        ipv4, ipv6 = self.ipv4[9 + self._hosts], self.ipv6[9 + self._hosts]
        device = plug(self.router, host, old)
        self.router.ip(f"link set {device} master lan")
        host.ip(
            f"address add {ipv4}/24 dev eth0",
            f"address add {ipv6}/64 dev eth0",
            "link set eth0 up",
            f"route add default via {self.ipv4[1]} dev eth0",
            f"route add default via {self.ipv6[1]} dev eth0",
        )
        return Link(self.router, device, ipv4, ipv6)
