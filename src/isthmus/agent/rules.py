"""The nft script for what a host does for others, as one transaction on our chains of `table inet isthmus`."""

import hashlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from isthmus.agent.desired import Forwarding
from isthmus.domain.addresses import IPAddress, IPNetwork

TABLE = "inet isthmus"
_HOOKS = {
    "forward": "type filter hook forward priority filter;",
    "nat": "type nat hook postrouting priority srcnat;",
    "restore": "type filter hook prerouting priority mangle;",
    "save": "type filter hook postrouting priority mangle;",
    # Never reached: the comment of its only rule says which script made all the others.
    "digest": "",
}
_FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
_SETS = [(name, version) for name in ("isolated", "encapsulated", "offered") for version in _FAMILIES]


def own(interface: str, name: str) -> str:
    """A name that no keyword of nft equals. `interface` has no underscore, so no two interfaces share one."""
    return f"ist_{interface.replace('-', '_')}__{name}"


def chains(interface: str) -> frozenset[str]:
    return frozenset(own(interface, name) for name in _HOOKS)


def is_needed(forwarding: Forwarding, mark: int) -> bool:
    return forwarding.is_needed or mark != 0


def digest(interface: str, forwarding: Forwarding, mark: int) -> str:
    """Identifies the rules: equal ones have an equal digest."""
    return hashlib.sha256("\n".join(_content(interface, forwarding, mark)).encode()).hexdigest()[:32]


def load_script(interface: str, forwarding: Forwarding, mark: int) -> str:
    """Replaces this interface's rules, whatever they were. `mark` is that of WireGuard's own packets, 0 for none.

    Packets of the tunnel are forwarded where `forwarding` says and nowhere else; all others are left alone.
    """
    note = _chain(interface, "digest", [f'return comment "{digest(interface, forwarding, mark)}"'])
    return _removal(interface) + _table([*_content(interface, forwarding, mark), note])


def drop_script(interface: str, present: Iterable[str]) -> str:
    """Takes this interface's rules away, and the table with them when `present`, its chains, are all ours."""
    if set(present) <= chains(interface):
        return f"table {TABLE}\ndelete table {TABLE}\n"
    return _removal(interface)


def _removal(interface: str) -> str:
    """Deletes what may not be there: nft deletes no such thing, so it is made first."""
    present = [_chain(interface, name, []) for name in _HOOKS]
    present += [_set(interface, name, version, []) for name, version in _SETS]
    # A rule keeps its set from being deleted until the transaction's end, unless its chain is emptied.
    lines = [f"flush chain {TABLE} {own(interface, name)}" for name in _HOOKS]
    lines += [f"delete chain {TABLE} {own(interface, name)}" for name in _HOOKS]
    lines += [f"delete set {TABLE} {own(interface, f'{name}{version}')}" for name, version in _SETS]
    return _table(present) + "\n".join(lines) + "\n"


def _content(interface: str, forwarding: Forwarding, mark: int) -> list[str]:
    """The sets and chains that are needed, as they stand in the table."""
    members = {(name, version): _members(getattr(forwarding, name), version) for name, version in _SETS}
    filled = {key: elements for key, elements in members.items() if elements}
    sets = {key: _reference(interface, *key) for key in filled}
    statements: dict[str, list[str]] = {}
    if forwarding.is_needed:
        statements["forward"] = list(_forward(interface, forwarding.between_peers, sets))
        statements["nat"] = list(_nat(interface, sets))
    if mark:
        # Replies to packets past the tunnel, which are WireGuard's own and those to the server, carry the mark again,
        # so that strict reverse path checks let them in.
        statements["restore"] = [f"meta l4proto {{ tcp, udp }} ct mark {mark:#x} meta mark set ct mark"]
        statements["save"] = [f"meta l4proto {{ tcp, udp }} meta mark {mark:#x} ct mark set meta mark"]
    content = [_set(interface, name, version, elements) for (name, version), elements in filled.items()]
    content += [_chain(interface, name, lines) for name, lines in statements.items() if lines]
    return content


def _forward(interface: str, between_peers: bool, sets: dict[tuple[str, int], str]) -> Iterator[str]:
    inside = f'iifname "{interface}" oifname "{interface}"'
    leaving = f'iifname "{interface}" oifname != "{interface}"'
    for version, (family, _) in _FAMILIES.items():
        isolated, encapsulated, offered = (
            sets.get((name, version)) for name in ("isolated", "encapsulated", "offered")
        )
        if isolated:
            yield f"{inside} {family} saddr {isolated} drop"
            yield f"{inside} {family} daddr {isolated} drop"
        if isolated and offered:
            yield f"{leaving} {family} saddr {isolated} {family} daddr {offered} drop"
        if offered:
            yield f"{leaving} {family} daddr {offered} accept"
        if encapsulated:
            yield f"{leaving} {family} saddr {encapsulated} accept"
    yield f"{inside} {'accept' if between_peers else 'drop'}"
    yield f"{leaving} ct state established,related accept"
    yield f"{leaving} drop"


def _nat(interface: str, sets: dict[tuple[str, int], str]) -> Iterator[str]:
    leaving = f'iifname "{interface}" oifname != "{interface}"'
    for version, (family, _) in _FAMILIES.items():
        if ("encapsulated", version) in sets:
            yield f"{leaving} {family} saddr {sets['encapsulated', version]} masquerade"
        if ("offered", version) in sets:
            yield f"{leaving} {family} daddr {sets['offered', version]} masquerade"


def _members(values: Sequence[IPAddress | IPNetwork], version: int) -> list[str]:
    return sorted({str(value) for value in values if _version(value) == version})


def _version(value: IPAddress | IPNetwork) -> int:
    return 4 if isinstance(value, IPv4Address | IPv4Network) else 6


def _reference(interface: str, name: str, version: int) -> str:
    return f"@{own(interface, f'{name}{version}')}"


def _table(content: list[str]) -> str:
    return f"table {TABLE} {{\n{textwrap.indent(''.join(content), '    ')}}}\n"


def _chain(interface: str, name: str, statements: list[str]) -> str:
    lines = [line for line in (_HOOKS[name], *statements) if line]
    return _block(f"chain {own(interface, name)}", lines)


def _set(interface: str, name: str, version: int, elements: list[str]) -> str:
    lines = [f"type {_FAMILIES[version][1]}", "flags interval"]
    if elements:
        lines.append(f"elements = {{ {', '.join(elements)} }}")
    return _block(f"set {own(interface, f'{name}{version}')}", lines)


def _block(head: str, lines: list[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"{head} {{\n{body}}}\n"
