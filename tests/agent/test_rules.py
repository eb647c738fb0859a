"""The nft scripts: each is accepted by nft as a whole, whatever is forwarded, and leaves nothing behind."""

import re
import subprocess
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.agent import rules
from isthmus.agent.bridging import read
from isthmus.agent.desired import Forwarding
from isthmus.agent.nft import Names
from isthmus.agent.rules import Rules
from isthmus.agent.settings import INTERFACE
from isthmus.domain.addresses import collapse, overlap
from tests.agent.bridges import LOCAL, a_crossing, a_flow, any_bridged, bridged
from tests.agent.builders import loaded

# Scripts run in a network namespace of their own, where a mistake meets no firewall of this machine.
ALONE = ["unshare", "--net", "--"]

addresses = st.lists(st.ip_addresses(), max_size=5).map(tuple)


@st.composite
def offers(draw: st.DrawFn) -> tuple[IPv4Network | IPv6Network, ...]:
    found: list[IPv4Network | IPv6Network] = []
    for address in draw(st.lists(st.ip_addresses(), max_size=4)):
        bits = draw(st.integers(1, address.max_prefixlen))
        kind = IPv4Network if address.version == 4 else IPv6Network
        found.append(kind((int(address), bits), strict=False))
    return collapse(found)


forwardings = st.builds(
    Forwarding, between_peers=st.booleans(), isolated=addresses, encapsulated=addresses, offered=offers()
)
marks = st.sampled_from([0, 0x4900_0001])
interfaces = st.from_regex(INTERFACE, fullmatch=True)


@st.composite
def any_rules(draw: st.DrawFn) -> Rules:
    crossings = draw(st.one_of(st.just(()), any_bridged().map(lambda each: read(each).crossings)))
    inside = tuple(map(ip_network, LOCAL)) if draw(st.booleans()) else ()
    port = draw(st.sampled_from([None, 51820]))
    return Rules(draw(forwardings), draw(marks), crossings, inside, port)


def nft(script: str, *options: str) -> str:
    """What nft says to `script`, nothing if all is well; loads it unless `options` have -c."""
    done = subprocess.run(
        [*ALONE, "nft", *options, "-f", "-"], input=script, capture_output=True, text=True, timeout=20, check=False
    )
    return done.stderr


def made_by(script: str) -> Names:
    return loaded(script, Names())


@pytest.mark.case("DATA-006")
@settings(max_examples=60)
@given(interfaces, any_rules(), any_rules())
def test_nft_accepts_the_script_for_any_rules_and_after_any_others(interface: str, first: Rules, then: Rules) -> None:
    script = rules.load_script(interface, first)
    assert nft(script, "-c") == ""
    # In one run: each has to replace what the one before made.
    present = made_by(script)
    other = rules.load_script(interface, then, present)
    present = loaded(other, present)
    assert nft(script + script + other + rules.drop_script(interface, present)) == ""


@pytest.mark.parametrize("name", ["fwd", "meta", "ip", "x" * 15, "a--b", "drop"])
def test_no_interface_name_is_mistaken_for_a_word_of_nft(name: str) -> None:
    crossings = read(bridged(a_crossing(a_flow(), barred=LOCAL))).crossings
    assert nft(rules.load_script(name, Rules(Forwarding(between_peers=True), 1, crossings))) == ""


@given(st.sets(interfaces | st.sampled_from(["a", "a-", "a--", "a--b"]), min_size=2, max_size=5), any_rules())
def test_no_two_interfaces_share_anything(names: set[str], some: Rules) -> None:
    made = {name: made_by(rules.load_script(name, some)) for name in names}
    for one, other in product(names, names):
        theirs = rules.of_interface(one, made[other])
        assert theirs == (made[one] if one == other else Names())


@given(any_rules(), any_rules())
def test_the_digest_tells_different_rules_apart(one: Rules, other: Rules) -> None:
    def written(some: Rules) -> str:
        return re.sub('comment ".*"', "", rules.load_script("ist-x", some).rpartition("\ntable ")[2])

    same = written(one) == written(other)
    assert (rules.digest("ist-x", one) == rules.digest("ist-x", other)) == same


@pytest.mark.case("DATA-006")
@given(any_rules())
def test_only_packets_of_the_tunnel_or_in_its_name_are_ever_dropped(some: Rules) -> None:
    script = rules.load_script("ist-x", some)
    assert "policy" not in script
    for name, lines in chains_of(script).items():
        for line in lines:
            if not re.search(r"\b(drop|masquerade|jump|goto)\b", line):
                continue
            if re.search("__(bridge|errors)_", name):
                # Reached from the others alone.
                continue
            ours = r"@ist_ist_x__"
            of_bridges = rf"{ours}remote_\w+|{ours}inside[46] ip6? daddr {ours}remote_\w+"
            tunnel, forged = r'[io]ifname "ist-x" ', rf'iifname != "ist-x" ip6? saddr ({of_bridges}) '
            assert re.match(f"{tunnel}|{forged}" if name.endswith("__guard") else tunnel, line), (name, line)
    assert ("hook input" in script) == bool(some.crossings)


@given(any_rules())
def test_what_belongs_to_a_bridge_never_meets_the_rules_of_the_mesh(some: Rules) -> None:
    chains = chains_of(rules.load_script("ist-x", some))
    forward = next((lines for name, lines in chains.items() if name.endswith("__forward")), [])
    gone = max((number for number, line in enumerate(forward) if " goto " in line), default=-1)
    # Before bridges are met, packets are only ever dropped; there every one is decided on.
    assert not [line for line in forward[: gone + 1] if "accept" in line or ("drop" in line and "isolated" not in line)]
    assert (gone >= 0) == any(crossing.prefixes for crossing in some.crossings)
    for name, lines in chains.items():
        if name.endswith("__bridges"):
            assert lines[-1].endswith(" drop")


@given(any_rules())
def test_a_flow_that_resolves_to_nothing_opens_nothing(some: Rules) -> None:
    chains = chains_of(rules.load_script("ist-x", some))
    for crossing in some.crossings:
        accepts = [line for line in chains[f"ist_ist_x__bridge_{crossing.id.hex}"] if "accept" in line]
        assert len(accepts) == sum(len(flow.ports) for flow in crossing.flows if flow.sources)
        assert bool(accepts) == bool(chains[f"ist_ist_x__errors_{crossing.id.hex}"])
        for flow in crossing.flows:
            ours = any(flow.destination in prefix for prefix in crossing.local)
            there = crossing.prefixes if ours else crossing.local
            assert all(any(overlap(source, prefix) for prefix in there) for source in flow.sources)
            assert not any(
                overlap(source, each) for source in flow.sources for each in (crossing.local if ours else ())
            )


def chains_of(script: str) -> dict[str, list[str]]:
    """The rules of each chain that a script ends with."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in map(str.strip, script.rpartition("\ntable ")[2].splitlines()):
        if line.startswith("chain "):
            name = line.split()[1]
            found[name] = []
        elif name and line not in ("}", "") and not line.startswith(("type ", "set ", "counter ist", "flags", "elem")):
            found[name].append(line)
    return found


def listed(*scripts: str) -> str:
    """The ruleset of a fresh namespace after each of `scripts` was loaded on its own."""
    commands = "".join(f"nft -f - <<'END'\n{script}\nEND\n" for script in scripts) + "nft list ruleset"
    return subprocess.run(
        [*ALONE, "sh", "-euc", commands], capture_output=True, text=True, timeout=20, check=True
    ).stdout


JUMP = Rules(Forwarding(between_peers=True), crossings=read(bridged(a_crossing(a_flow()))).crossings)


def test_loading_again_changes_nothing_and_dropping_leaves_no_table() -> None:
    script = rules.load_script("ist-a", JUMP)
    assert listed(script) == listed(script, script)
    assert "table inet isthmus" in listed(script)
    assert listed(script, rules.drop_script("ist-a", made_by(script))) == ""


def test_two_interfaces_share_one_table_and_neither_takes_the_others_rules_along() -> None:
    one, other = rules.load_script("ist-a", JUMP), rules.load_script("ist-b", JUMP)
    both = loaded(one, made_by(other))
    assert listed(one, other).count("table inet isthmus") == 1
    assert listed(one, other, rules.drop_script("ist-a", both)) == listed(other)


@pytest.mark.case("DATA-006")
def test_a_foreign_table_and_a_script_that_fails_leave_everything_as_it_was() -> None:
    foreign = "table inet foreign {\n chain other {\n type filter hook forward priority 0; policy drop;\n }\n}"
    script = rules.load_script("ist-a", JUMP)
    before = listed(foreign, script)
    assert "policy drop" in before
    broken = rules.load_script("ist-a", Rules(mark=1), made_by(script)) + "add rule inet isthmus nowhere accept\n"
    assert nft(broken) != ""
    commands = f"nft -f - <<'END'\n{foreign}\nEND\nnft -f - <<'END'\n{script}\nEND\n"
    commands += f"! nft -f - <<'END' 2>/dev/null\n{broken}\nEND\nnft list ruleset"
    done = subprocess.run([*ALONE, "sh", "-uc", commands], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == before
