"""What the network's own packets may do on a host that forwards: who reaches whom, and under which address."""

from collections.abc import Iterable, Iterator

from isthmus.agent.desired import Forwarding
from isthmus.agent.nft import WORDS, address_set, members, own

HOOKS = {
    "forward": "type filter hook forward priority filter;",
    "nat": "type nat hook postrouting priority srcnat;",
    "restore": "type filter hook prerouting priority mangle;",
    "save": "type filter hook postrouting priority mangle;",
}
SETS = ("isolated", "encapsulated", "offered")


def sets(interface: str, forwarding: Forwarding) -> Iterator[str]:
    for name in SETS:
        for family in WORDS:
            elements = members(getattr(forwarding, name), family)
            if elements:
                yield address_set(own(interface, f"{name}{family}"), family, elements)


def forward(interface: str, forwarding: Forwarding, bridges: Iterable[str]) -> Iterator[str]:
    """`bridges` are the rules for what belongs to one: isolated peers stay apart from them too."""
    inside = f'iifname "{interface}" oifname "{interface}"'
    leaving = f'iifname "{interface}" oifname != "{interface}"'
    for family, (word, _) in WORDS.items():
        if members(forwarding.isolated, family):
            isolated = _reference(interface, "isolated", family)
            yield f"{inside} {word} saddr {isolated} drop"
            yield f"{inside} {word} daddr {isolated} drop"
    yield from bridges
    for family, (word, _) in WORDS.items():
        isolated, encapsulated, offered = (_reference(interface, name, family) for name in SETS)
        if members(forwarding.isolated, family) and members(forwarding.offered, family):
            yield f"{leaving} {word} saddr {isolated} {word} daddr {offered} drop"
        if members(forwarding.offered, family):
            yield f"{leaving} {word} daddr {offered} accept"
        if members(forwarding.encapsulated, family):
            yield f"{leaving} {word} saddr {encapsulated} accept"
    yield f"{inside} {'accept' if forwarding.between_peers else 'drop'}"
    yield f"{leaving} ct state established,related accept"
    yield f"{leaving} drop"


def nat(interface: str, forwarding: Forwarding) -> Iterator[str]:
    leaving = f'iifname "{interface}" oifname != "{interface}"'
    for family, (word, _) in WORDS.items():
        if members(forwarding.encapsulated, family):
            yield f"{leaving} {word} saddr {_reference(interface, 'encapsulated', family)} masquerade"
        if members(forwarding.offered, family):
            yield f"{leaving} {word} daddr {_reference(interface, 'offered', family)} masquerade"


def _reference(interface: str, name: str, family: int) -> str:
    return f"@{own(interface, f'{name}{family}')}"
