"""How NAT routers of different kinds treat UDP, as nftables rules. In the words of RFC 3489, section 5.

A kind is told apart by two things: whether one local port has one outside port for all destinations (a cone), and who
may send to that outside port. Two hosts behind one router do not use the same UDP port here: a cone knows only one.
"""

from enum import StrEnum


class NatKind(StrEnum):
    """Whom a router lets in by an outside port that a host behind it has sent from."""

    FULL_CONE = "full cone"
    """Everybody."""
    RESTRICTED = "restricted cone"
    """Those addresses that the host has sent to, from any of their ports."""
    PORT_RESTRICTED = "port restricted cone"
    """Those endpoints that the host has sent to: what Linux does, and most routers at home."""
    SYMMETRIC = "symmetric"
    """Those endpoints too, and each destination sees another outside port."""


# What nobody behind the router asked for is dropped before it is remembered: else Linux would take the outside port for
# one of the router's own, and give the host that sends to there another.
_ROUTER = """
table inet nat {{
    chain postrouting {{
        type nat hook postrouting priority srcnat
        oifname "eth0" masquerade {how}
    }}
    chain forward {{
        type filter hook forward priority filter
        ct state established,related accept
        iifname "eth0" ct status dnat accept
        iifname "eth0" drop
    }}
    chain input {{
        type filter hook input priority filter
        iifname "eth0" meta l4proto udp ct state new drop
    }}
}}
"""

# A cone: whoever sends from a port is found again under it, for the two minutes of RFC 4787, requirement 5.
_CONE = """
table inet cone {{
    map inside{version} {{ type inet_service : {kind}; size 4096; flags timeout; timeout 2m; }}
    set asked{version} {{ type {kind} . inet_service; size 4096; flags timeout; timeout 2m; }}
    chain remember{version} {{
        type filter hook forward priority filter - 1
        iifname "lan" oifname "eth0" meta l4proto udp update @inside{version} {{ udp sport : {family} saddr }}
        iifname "lan" oifname "eth0" meta l4proto udp update @asked{version} {{ {family} daddr . udp sport }}
    }}
    chain enter{version} {{
        type nat hook prerouting priority dstnat
        iifname "eth0" {who} dnat {family} to udp dport map @inside{version}
    }}
}}
"""


def script(kind: NatKind) -> str:
    """The rules of a router with the internet at `eth0` and its local network at `lan`, for both families."""
    how = "fully-random" if kind is NatKind.SYMMETRIC else ""
    rules = [_ROUTER.format(how=how)]
    if kind in (NatKind.FULL_CONE, NatKind.RESTRICTED):
        for version, family, address in ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr")):
            asked = f"{family} saddr . udp dport @asked{version}"
            who = asked if kind is NatKind.RESTRICTED else f"meta nfproto ipv{version}"
            rules.append(_CONE.format(version=version, family=family, kind=address, who=who))
    return "".join(rules)
