"""The nft scripts for what a host does for others: one transaction on what is this interface's in our one table."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from isthmus.agent import bridge_rules, mesh_rules
from isthmus.agent.bridging import Crossing
from isthmus.agent.desired import Desired, Forwarding
from isthmus.agent.nft import NO_NAMES, TABLE, Names, address_set, chain, counter, own, table
from isthmus.agent.routing import FAMILIES
from isthmus.domain.addresses import IPNetwork

# Never reached: the comment of its only rule says which script made all the others.
_DIGEST = "digest"
_HOOKS = mesh_rules.HOOKS | bridge_rules.HOOKS | {_DIGEST: ""}
_SETS = tuple(f"{name}{family}" for name in (*mesh_rules.SETS, *bridge_rules.SETS) for family in FAMILIES)
_OF_BRIDGES = re.compile(bridge_rules.NAMES)


@dataclass(frozen=True, slots=True)
class Rules:
    """What one interface's rules are made of. `mark` is that of WireGuard's own packets, 0 for none; `listen_port`
    is where those arrive; `inside` are the network's prefixes, whose packets come out of the tunnel."""

    forwarding: Forwarding = field(default_factory=Forwarding)
    mark: int = 0
    crossings: tuple[Crossing, ...] = ()
    inside: tuple[IPNetwork, ...] = ()
    listen_port: int | None = None

    @classmethod
    def of(cls, desired: Desired, mark: int) -> "Rules":
        if not desired.bridged.crossings:
            return cls(desired.forwarding, mark)
        return cls(desired.forwarding, mark, desired.bridged.crossings, desired.inside, desired.listen_port)

    @property
    def forwards(self) -> bool:
        """Whether the host has to forward packets at all."""
        return self.forwarding.is_needed or bool(self.crossings)

    @property
    def is_needed(self) -> bool:
        return self.forwards or self.mark != 0


def of_interface(interface: str, present: Names) -> Names:
    """What in `present` is this interface's."""
    static = {own(interface, name) for name in (*_HOOKS, *_SETS)}
    prefix = own(interface, "")

    def ours(names: Iterable[str]) -> frozenset[str]:
        return frozenset(
            name
            for name in names
            if name in static or (name.startswith(prefix) and _OF_BRIDGES.fullmatch(name.removeprefix(prefix)))
        )

    return Names(ours(present.chains), ours(present.sets), ours(present.counters))


def has_bridges(interface: str, present: Names) -> bool:
    return own(interface, "bridges") in present.chains


def digest(interface: str, rules: Rules) -> str:
    """Identifies the rules: equal ones have an equal digest."""
    return hashlib.sha256("\n".join(_content(interface, rules)).encode()).hexdigest()[:32]


def load_script(interface: str, rules: Rules, present: Names = NO_NAMES) -> str:
    """Replaces this interface's rules, whatever they were; `present` is what is in the table.

    Packets of the tunnel are forwarded where `rules` say and nowhere else; all others are left alone. The counters of
    flows that go on go on counting.
    """
    note = _chain(interface, _DIGEST, [f'return comment "{digest(interface, rules)}"'])
    parts = bridge_rules.names(interface, rules.crossings)
    return _removal(interface, present, parts) + table([*_content(interface, rules), note])


def drop_script(interface: str, present: Names) -> str:
    """Takes this interface's rules away, and the table with them when all that is `present` is ours."""
    if present.chains <= of_interface(interface, present).chains:
        return f"table {TABLE}\ndelete table {TABLE}\n"
    return _removal(interface, present, NO_NAMES)


def _removal(interface: str, present: Names, wanted: Names) -> str:
    """Deletes what may not be there, but for the counters that are wanted: nft deletes no such thing, so it is made
    first."""
    found = of_interface(interface, present)
    hooks = {own(interface, name): hook for name, hook in _HOOKS.items()}
    always = {own(interface, name) for name in (*mesh_rules.HOOKS, _DIGEST)}
    chains = sorted(always | found.chains | wanted.chains)
    mesh = {own(interface, f"{name}{family}") for name in mesh_rules.SETS for family in FAMILIES}
    sets = sorted(mesh | found.sets | wanted.sets)
    counters = sorted(found.counters - wanted.counters)
    made = [chain(name, hooks.get(name, ""), []) for name in chains]
    made += [address_set(name, 4 if name.endswith("4") else 6, []) for name in sets]
    made += map(counter, counters)
    # A rule keeps what it names from being deleted until the transaction's end, unless its chain is emptied.
    lines = [f"flush chain {TABLE} {name}" for name in chains]
    lines += [f"delete chain {TABLE} {name}" for name in chains]
    lines += [f"delete set {TABLE} {name}" for name in sets]
    lines += [f"delete counter {TABLE} {name}" for name in counters]
    return table(made) + "\n".join(lines) + "\n"


# Asked for by the digest and by the script, and whenever the host is looked at.
@lru_cache(maxsize=2)
def _content(interface: str, rules: Rules) -> tuple[str, ...]:
    """The counters, sets and chains that are needed, as they stand in the table."""
    forwarding, crossings = rules.forwarding, rules.crossings
    statements: dict[str, list[str]] = {}
    if rules.forwards:
        between = bridge_rules.forward(interface, crossings)
        statements["forward"] = list(mesh_rules.forward(interface, forwarding, between))
        statements["nat"] = list(mesh_rules.nat(interface, forwarding))
    if rules.mark:
        # Replies to packets past the tunnel, which are WireGuard's own and those to the server, carry the mark again,
        # so that strict reverse path checks let them in.
        statements["restore"] = [f"meta l4proto {{ tcp, udp }} ct mark {rules.mark:#x} meta mark set ct mark"]
        statements["save"] = [f"meta l4proto {{ tcp, udp }} meta mark {rules.mark:#x} ct mark set meta mark"]
    if crossings:
        statements["guard"] = list(bridge_rules.guard(interface, crossings, rules.inside, rules.listen_port))
        statements["bridges"] = list(bridge_rules.between(interface, crossings))
        statements["input"] = list(bridge_rules.received(interface, crossings))
        statements["output"] = list(bridge_rules.sent(interface, crossings))
    # Before the chains that name them.
    content = [*mesh_rules.sets(interface, forwarding), *bridge_rules.parts(interface, crossings, rules.inside)]
    order = sorted(statements, key=lambda name: name != "bridges")
    return (*content, *(_chain(interface, name, statements[name]) for name in order if statements[name]))


def _chain(interface: str, name: str, statements: Iterable[str]) -> str:
    return chain(own(interface, name), _HOOKS[name], statements)
