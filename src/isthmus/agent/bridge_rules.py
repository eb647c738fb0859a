"""What may pass a bridge on its gateway: each flow with its replies and nothing else, counted.

forward ─▶ bridges ─┐
input ──────────────┼─▶ bridge_<id>: barred ones, then the flows; who comes back was let through by nothing
output ─────────────┘
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from isthmus.agent.bridging import Crossing
from isthmus.agent.nft import WORDS, Names, address_set, chain, counter, members, own
from isthmus.domain.addresses import Family, IPNetwork, collapse
from isthmus.domain.mesh.crossing import INGRESSES, Flow
from isthmus.protocol.agent import FlowReport

HOOKS = {
    "guard": "type filter hook prerouting priority raw;",
    "input": "type filter hook input priority filter;",
    "output": "type filter hook output priority filter;",
    # Called by the chain of the hook forward, which is the network's too.
    "bridges": "",
}
SETS = ("remotes", "inside")
_ERRORS = {
    4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
    6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
}
_REDIRECT: dict[Family, str] = {4: "icmp type redirect", 6: "icmpv6 type nd-redirect"}
_ID = "[0-9a-f]{32}"
_SUM = "[0-9a-f]{16}"
_FLOW = "|".join([_ID, *sorted(each.replace("-", "") for each in INGRESSES)])
_SETS = rf"(remote|barred)_{_ID}[46]|from_{_ID}_{_SUM}[46]"
NAMES = rf"(bridge|errors|dropped|forged)_{_ID}|{_SETS}|flow_{_ID}_({_FLOW})"
"""Those of everything of ours that comes and goes with a bridge or a flow."""


def flow_counter(interface: str, crossing: Crossing, flow: str) -> str:
    """The name of the counter of the flows with one id."""
    return own(interface, f"flow_{crossing.id.hex}_{flow.replace('-', '')}")


def dropped_counter(interface: str, crossing: Crossing) -> str:
    """The name of the counter of what came or went by no flow."""
    return own(interface, f"dropped_{crossing.id.hex}")


def forged_counter(interface: str, crossing: Crossing) -> str:
    """The name of the counter of what came from elsewhere than the tunnel that its source address lives in."""
    return own(interface, f"forged_{crossing.id.hex}")


def flow_ids(crossing: Crossing) -> list[str]:
    return sorted({flow.id for flow in crossing.flows})


def reports(
    interface: str, crossings: Iterable[Crossing], counted: Mapping[str, tuple[int, int]]
) -> Iterator[FlowReport]:
    """Of each flow that something has passed by; `counted` are packets and bytes by the names of counters."""
    for crossing in crossings:
        for flow in flow_ids(crossing):
            packets, size = counted.get(flow_counter(interface, crossing, flow), (0, 0))
            if packets:
                yield FlowReport(str(crossing.id), flow, packets, size)


def names(interface: str, crossings: Iterable[Crossing]) -> Names:
    """What the rules of `crossings` consist of."""
    crossings = tuple(crossings)
    chains = {own(interface, name) for name in HOOKS if crossings}
    sets = {own(interface, f"{name}{family}") for name in SETS for family in WORDS if crossings}
    counters: set[str] = set()
    for crossing in crossings:
        chains |= {_chain(interface, crossing), _errors(interface, crossing)}
        sets |= _source_sets(interface, crossing).keys()
        sets |= {_set(interface, kind, crossing, family) for kind in ("remote", "barred") for family in WORDS}
        counters |= {dropped_counter(interface, crossing), forged_counter(interface, crossing)}
        counters |= {flow_counter(interface, crossing, flow.id) for flow in crossing.flows}
    return Names(frozenset(chains), frozenset(sets), frozenset(counters))


def parts(interface: str, crossings: Sequence[Crossing], inside: Iterable[IPNetwork]) -> Iterator[str]:
    """The counters, sets and chains that the rules in hooks name."""
    yield from map(counter, sorted(names(interface, crossings).counters))
    remotes = [prefix for crossing in crossings for prefix in crossing.prefixes]
    inside = inside if crossings else ()
    yield from _sets({own(interface, "remotes"): collapse(remotes), own(interface, "inside"): inside})
    for crossing in crossings:
        for kind, prefixes in (("remote", crossing.prefixes), ("barred", crossing.barred)):
            yield from _sets({own(interface, f"{kind}_{crossing.id.hex}"): prefixes})
        for name, sources in _source_sets(interface, crossing).items():
            family: Family = 4 if sources[0].version == 4 else 6
            yield address_set(name, family, members(sources, family))
    for crossing in crossings:
        yield chain(_errors(interface, crossing), "", _causing(interface, crossing))
        yield chain(_chain(interface, crossing), "", _passing(interface, crossing))


def forward(interface: str, crossings: Iterable[Crossing]) -> Iterator[str]:
    for family in sorted({prefix.version for crossing in crossings for prefix in crossing.prefixes}):
        word, remotes = WORDS[family][0], f"@{own(interface, f'remotes{family}')}"
        yield f'iifname "{interface}" {word} saddr {remotes} goto {own(interface, "bridges")}'
        yield f'oifname "{interface}" {word} daddr {remotes} goto {own(interface, "bridges")}'


def between(interface: str, crossings: Iterable[Crossing]) -> Iterator[str]:
    """What is forwarded from or to a remote. No bridge is a way to another one."""
    for crossing, family, word, remote in _families(interface, crossings):
        drop, jump = _drop(interface, crossing), f"jump {_chain(interface, crossing)}"
        yield f'iifname "{interface}" {word} saddr {remote} {word} daddr @{own(interface, f"remotes{family}")} {drop}'
        for side in (f'iifname "{interface}" {word} saddr {remote}', f'oifname "{interface}" {word} daddr {remote}'):
            yield f"{side} {jump}"
            yield f"{side} {drop}"


def received(interface: str, crossings: Iterable[Crossing]) -> Iterator[str]:
    """What a remote sends to this very host: flows, and answers to what the host itself has asked."""
    for crossing, _, word, remote in _families(interface, crossings):
        side = f'iifname "{interface}" {word} saddr {remote}'
        yield f"{side} jump {_chain(interface, crossing)}"
        yield f"{side} ct direction reply accept"
        yield f"{side} {_drop(interface, crossing)}"


def sent(interface: str, crossings: Iterable[Crossing]) -> Iterator[str]:
    """What this very host sends to a remote: what it likes, and answers as long as their flow is there."""
    for crossing, family, word, remote in _families(interface, crossings):
        side = f'oifname "{interface}" {word} daddr {remote}'
        # The kernel tells whoever is forwarded inside the tunnel of a shorter way: there is none, and it is no news.
        yield f"{side} {_REDIRECT[family]} drop"
        yield f"{side} jump {_chain(interface, crossing)}"
        yield f"{side} ct direction original accept"
        yield f"{side} {_drop(interface, crossing)}"


def guard(
    interface: str, crossings: Iterable[Crossing], inside: Sequence[IPNetwork], listen_port: int | None
) -> Iterator[str]:
    """Who lives in the tunnel is heard through it alone: a remote, and a peer of the network that speaks to one."""
    if listen_port is not None:
        # WireGuard itself proves who sent these, and a remote may offer the very prefix that its gateway stands in.
        yield f"udp dport {listen_port} return"
    for crossing, family, word, remote in _families(interface, crossings):
        drop = f"counter name {forged_counter(interface, crossing)} drop"
        yield f'iifname != "{interface}" {word} saddr {remote} {drop}'
        if members(inside, family):
            network = f"@{own(interface, f'inside{family}')}"
            yield f'iifname != "{interface}" {word} saddr {network} {word} daddr {remote} {drop}'


def _passing(interface: str, crossing: Crossing) -> Iterator[str]:
    """Whoever gets to the end of these was let through by none."""
    for family, (word, _) in WORDS.items():
        if members(crossing.barred, family):
            barred = f"@{_set(interface, 'barred', crossing, family)}"
            yield f"{word} saddr {barred} {_drop(interface, crossing)}"
            yield f"{word} daddr {barred} {_drop(interface, crossing)}"
    for family in sorted({flow.destination.version for flow in _open(crossing)}):
        yield f"{_ERRORS[family]} ct state related jump {_errors(interface, crossing)}"
    for flow in _open(crossing):
        begun, counted = _begun(interface, crossing, flow), flow_counter(interface, crossing, flow.id)
        for low, high in flow.ports:
            port = f"{low}-{high}" if low < high else low
            yield f"meta l4proto {flow.protocol} {begun} ct original proto-dst {port} counter name {counted} accept"


def _causing(interface: str, crossing: Crossing) -> Iterator[str]:
    """The errors that packets of a flow, or answers, may cause."""
    for begun in dict.fromkeys((flow.protocol, _begun(interface, crossing, flow)) for flow in _open(crossing)):
        yield "ct protocol {} {} accept".format(*begun)


def _open(crossing: Crossing) -> list[Flow]:
    return [flow for flow in crossing.flows if flow.sources and flow.ports]


def _begun(interface: str, crossing: Crossing, flow: Flow) -> str:
    """Whatever belongs to a connection that began under the flow: answers are let through as long as it is there.

    Many small sets without a name would cost the kernel seconds: those of sources have one each, ports have none.
    """
    word = "ip" if flow.destination.version == 4 else "ip6"
    sources = str(flow.sources[0]) if len(flow.sources) == 1 else f"@{_source_set(interface, crossing, flow.sources)}"
    return f"ct original {word} saddr {sources} ct original {word} daddr {flow.destination}"


def _source_sets(interface: str, crossing: Crossing) -> dict[str, tuple[IPNetwork, ...]]:
    """Flows of the same sources share a set."""
    several = {flow.sources for flow in _open(crossing) if len(flow.sources) > 1}
    return {_source_set(interface, crossing, sources): sources for sources in sorted(several, key=str)}


def _source_set(interface: str, crossing: Crossing, sources: Sequence[IPNetwork]) -> str:
    sum_of = hashlib.sha256(" ".join(map(str, sources)).encode("ascii")).hexdigest()[:16]
    return own(interface, f"from_{crossing.id.hex}_{sum_of}{sources[0].version}")


def _families(interface: str, crossings: Iterable[Crossing]) -> Iterator[tuple[Crossing, Family, str, str]]:
    """Each crossing in each family that it has prefixes of, with the family's word and the set of those."""
    for crossing in crossings:
        for family, (word, _) in WORDS.items():
            if members(crossing.prefixes, family):
                yield crossing, family, word, f"@{_set(interface, 'remote', crossing, family)}"


def _sets(prefixes: dict[str, Iterable[IPNetwork]]) -> Iterator[str]:
    for name, elements in prefixes.items():
        for family in WORDS:
            listed = members(elements, family)
            if listed:
                yield address_set(f"{name}{family}", family, listed)


def _drop(interface: str, crossing: Crossing) -> str:
    return f"counter name {dropped_counter(interface, crossing)} drop"


def _chain(interface: str, crossing: Crossing) -> str:
    return own(interface, f"bridge_{crossing.id.hex}")


def _errors(interface: str, crossing: Crossing) -> str:
    return own(interface, f"errors_{crossing.id.hex}")


def _set(interface: str, kind: str, crossing: Crossing, family: Family) -> str:
    return own(interface, f"{kind}_{crossing.id.hex}{family}")
