"""How our one nft table is written: names of an interface's things, and the text of tables, chains, sets, counters."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.domain.addresses import Family, IPAddress, IPNetwork

TABLE = "inet isthmus"
# The words for a family's packets and for the type of its addresses.
WORDS: dict[Family, tuple[str, str]] = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}


@dataclass(frozen=True, slots=True)
class Names:
    """What is in a table, or shall be."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    counters: frozenset[str] = frozenset()


NO_NAMES = Names()


def own(interface: str, name: str) -> str:
    """A name that no keyword of nft equals. `interface` has no underscore, so no two interfaces share one."""
    return f"ist_{interface.replace('-', '_')}__{name}"


def table(content: Iterable[str]) -> str:
    return f"table {TABLE} {{\n{textwrap.indent(''.join(content), '    ')}}}\n"


def chain(name: str, hook: str, statements: Iterable[str]) -> str:
    """`hook` says what calls it, empty for a chain that other chains call."""
    return _block(f"chain {name}", [line for line in (hook, *statements) if line])


def address_set(name: str, family: Family, elements: Iterable[str]) -> str:
    listed = ", ".join(elements)
    lines = [f"type {WORDS[family][1]}", "flags interval", *([f"elements = {{ {listed} }}"] if listed else [])]
    return _block(f"set {name}", lines)


def counter(name: str) -> str:
    """One that is there already keeps what it has counted."""
    return _block(f"counter {name}", [])


def members(values: Iterable[IPAddress | IPNetwork], family: Family) -> list[str]:
    return sorted({str(value) for value in values if value.version == family})


def _block(head: str, lines: Iterable[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"{head} {{\n{body}}}\n"
