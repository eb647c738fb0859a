"""The nft script for what a host does for others, as one transaction on our chains of `table inet isthmus`."""

import hashlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from isthmus.agent.desired import Forwarding
from isthmus.domain.addresses import IPAddress, IPNetwork

TABLE = "inet isthmus"
_CHAINS = {
    "forward": "type filter hook forward priority filter",
    "nat": "type nat hook postrouting priority srcnat",
    "restore": "type filter hook prerouting priority mangle",
    "save": "type filter hook postrouting priority mangle",
    # Never reached: the comment of its only rule says which script made all the others.
    "digest": "",
}
_SETS = ("isolated", "encapsulated", "offered")
_FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}


def chain(interface: str, name: str) -> str:
    """A name that no keyword of nft equals. `interface` has no underscore, so no two interfaces share one."""
    return f"ist_{interface.replace('-', '_')}__{name}"


def chains(interface: str) -> frozenset[str]:
    return frozenset(chain(interface, name) for name in _CHAINS)


def is_needed(forwarding: Forwarding, mark: int) -> bool:
    return forwarding.is_needed or mark != 0


def digest(interface: str, forwarding: Forwarding, mark: int) -> str:
    """Identifies the rules: equal ones have an equal digest."""
    return hashlib.sha256(_body(interface, forwarding, mark).encode()).hexdigest()[:32]


def load_script(interface: str, forwarding: Forwarding, mark: int) -> str:
    """Replaces this interface's rules, whatever they were. `mark` is that of WireGuard's own packets, 0 for none.

    Packets of the tunnel are forwarded where `forwarding` says and nowhere else; all others are left alone.
    """
    body = _body(interface, forwarding, mark)
    own_digest = chain(interface, "digest")
    return (
        f"add table {TABLE}\n{_removal(interface)}{body}"
        f'add rule {TABLE} {own_digest} return comment "{digest(interface, forwarding, mark)}"\n'
    )


def drop_script(interface: str, present: Iterable[str]) -> str:
    """Takes this interface's rules away, and the table with them when `present`, its chains, are all ours."""
    if set(present) <= chains(interface):
        return f"add table {TABLE}\ndelete table {TABLE}\n"
    return f"add table {TABLE}\n{_removal(interface)}"


def _removal(interface: str) -> str:
    lines = []
    for name, hook in _CHAINS.items():
        own = chain(interface, name)
        lines += [_add_chain(own, hook), f"flush chain {TABLE} {own}", f"delete chain {TABLE} {own}"]
    for name in _SETS:
        for version in _FAMILIES:
            own = chain(interface, f"{name}{version}")
            lines += [_add_set(own, version), f"delete set {TABLE} {own}"]
    return "\n".join(lines) + "\n"


def _add_chain(name: str, hook: str) -> str:
    return f"add chain {TABLE} {name}" + (f" {{ {hook}; }}" if hook else "")


def _add_set(name: str, version: int) -> str:
    return f"add set {TABLE} {name} {{ type {_FAMILIES[version][1]}; flags interval; }}"


def _body(interface: str, forwarding: Forwarding, mark: int) -> str:
    lines = [_add_chain(chain(interface, name), hook) for name, hook in _CHAINS.items()]
    for name in _SETS:
        lines += _fill(interface, name, getattr(forwarding, name))
    if forwarding.is_needed:
        lines += [f"add rule {TABLE} {chain(interface, 'forward')} {rule}" for rule in _forward(interface, forwarding)]
        lines += [f"add rule {TABLE} {chain(interface, 'nat')} {rule}" for rule in _nat(interface)]
    if mark:
        # Replies to WireGuard's own packets carry its mark again, so that strict reverse path checks let them in.
        lines += [
            f"add rule {TABLE} {chain(interface, 'restore')} meta l4proto udp ct mark {mark:#x} meta mark set ct mark",
            f"add rule {TABLE} {chain(interface, 'save')} meta l4proto udp meta mark {mark:#x} ct mark set meta mark",
        ]
    return "\n".join(lines) + "\n"


def _fill(interface: str, name: str, members: Sequence[IPAddress | IPNetwork]) -> list[str]:
    lines = []
    for version in _FAMILIES:
        own = chain(interface, f"{name}{version}")
        lines.append(_add_set(own, version))
        elements = sorted({str(member) for member in members if _version(member) == version})
        if elements:
            lines.append(f"add element {TABLE} {own} {{ {', '.join(elements)} }}")
    return lines


def _version(member: IPAddress | IPNetwork) -> int:
    return 4 if isinstance(member, IPv4Address | IPv4Network) else 6


def _forward(interface: str, forwarding: Forwarding) -> list[str]:
    inside = f'iifname "{interface}" oifname "{interface}"'
    leaving = f'iifname "{interface}" oifname != "{interface}"'
    rules = []
    for version, (family, _) in _FAMILIES.items():
        isolated, encapsulated, offered = (f"@{chain(interface, f'{name}{version}')}" for name in _SETS)
        rules += [
            f"{inside} {family} saddr {isolated} drop",
            f"{inside} {family} daddr {isolated} drop",
            f"{leaving} {family} saddr {isolated} {family} daddr {offered} drop",
            f"{leaving} {family} daddr {offered} accept",
            f"{leaving} {family} saddr {encapsulated} accept",
        ]
    verdict = "accept" if forwarding.between_peers else "drop"
    return [*rules, f"{inside} {verdict}", f"{leaving} ct state established,related accept", f"{leaving} drop"]


def _nat(interface: str) -> list[str]:
    leaving = f'iifname "{interface}" oifname != "{interface}"'
    rules = []
    for version, (family, _) in _FAMILIES.items():
        encapsulated, offered = (f"@{chain(interface, f'{name}{version}')}" for name in ("encapsulated", "offered"))
        rules += [
            f"{leaving} {family} saddr {encapsulated} masquerade",
            f"{leaving} {family} daddr {offered} masquerade",
        ]
    return rules
