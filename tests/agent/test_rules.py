"""The nft scripts: each is accepted by nft as a whole, whatever is forwarded, and leaves nothing behind."""

import re
import subprocess
from ipaddress import IPv4Network, IPv6Network
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.agent import rules
from isthmus.agent.desired import Forwarding
from isthmus.agent.settings import INTERFACE
from isthmus.domain.addresses import collapse

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
interfaces = st.from_regex(INTERFACE, fullmatch=True)
marks = st.sampled_from([0, 0x4900_0001])


def nft(script: str, *options: str) -> str:
    """What nft says to `script`, nothing if all is well; loads it unless `options` have -c."""
    done = subprocess.run(
        [*ALONE, "nft", *options, "-f", "-"], input=script, capture_output=True, text=True, timeout=20, check=False
    )
    return done.stderr


@settings(max_examples=40)
@given(interfaces, forwardings, marks)
def test_nft_accepts_the_script_for_any_forwarding(interface: str, forwarding: Forwarding, mark: int) -> None:
    script = rules.load_script(interface, forwarding, mark)
    # Loaded onto itself in one run: a second script has to replace what the first one made.
    assert nft(script + script + rules.drop_script(interface, rules.chains(interface))) == ""
    assert nft(script, "-c") == ""


@pytest.mark.parametrize("name", ["fwd", "meta", "ip", "x" * 15, "a--b", "drop"])
def test_no_interface_name_is_mistaken_for_a_word_of_nft(name: str) -> None:
    assert nft(rules.load_script(name, Forwarding(between_peers=True), 1)) == ""


@given(st.sets(interfaces, min_size=2, max_size=5))
def test_no_two_interfaces_share_a_chain(names: set[str]) -> None:
    for one, other in product(names, names):
        assert one == other or not rules.chains(one) & rules.chains(other)


@given(forwardings, forwardings, marks)
def test_the_digest_tells_different_rules_apart(one: Forwarding, other: Forwarding, mark: int) -> None:
    def described(forwarding: Forwarding) -> tuple[object, ...]:
        sets = (forwarding.isolated, forwarding.encapsulated, forwarding.offered)
        return forwarding.between_peers, *map(frozenset, sets)

    same = described(one) == described(other)
    nothing = not one.is_needed or not other.is_needed
    assert (rules.digest("ist-x", one, mark) == rules.digest("ist-x", other, mark)) == same or nothing


@given(forwardings)
def test_only_packets_of_the_tunnel_are_ever_dropped(forwarding: Forwarding) -> None:
    for line in rules.load_script("ist-x", forwarding, 1).splitlines():
        if re.search(r"\b(drop|masquerade)\b", line):
            assert line.strip().startswith('iifname "ist-x" ')
    assert "policy" not in rules.load_script("ist-x", forwarding, 1)
    assert "hook input" not in rules.load_script("ist-x", forwarding, 1)


def listed(*scripts: str) -> str:
    """The ruleset of a fresh namespace after each of `scripts` was loaded on its own."""
    commands = "".join(f"nft -f - <<'END'\n{script}\nEND\n" for script in scripts) + "nft list ruleset"
    return subprocess.run(
        [*ALONE, "sh", "-euc", commands], capture_output=True, text=True, timeout=20, check=True
    ).stdout


def test_loading_again_changes_nothing_and_dropping_leaves_no_table() -> None:
    jump = Forwarding(between_peers=True)
    script = rules.load_script("ist-a", jump, 0)
    assert listed(script) == listed(script, script)
    assert "table inet isthmus" in listed(script)
    assert listed(script, rules.drop_script("ist-a", rules.chains("ist-a"))) == ""


def test_two_interfaces_share_one_table_and_neither_takes_the_others_rules_along() -> None:
    jump = Forwarding(between_peers=True)
    one, other = rules.load_script("ist-a", jump, 0), rules.load_script("ist-b", jump, 0)
    both = rules.chains("ist-a") | rules.chains("ist-b")
    assert listed(one, other).count("table inet isthmus") == 1
    assert listed(one, other, rules.drop_script("ist-a", both)) == listed(other)


def test_a_foreign_table_and_a_script_that_fails_leave_everything_as_it_was() -> None:
    foreign = "table inet foreign {\n chain other {\n type filter hook forward priority 0; policy drop;\n }\n}"
    script = rules.load_script("ist-a", Forwarding(between_peers=True), 0)
    before = listed(foreign, script)
    assert "policy drop" in before
    broken = rules.load_script("ist-a", Forwarding(), 1) + "add rule inet isthmus nowhere accept\n"
    assert nft(broken) != ""
    commands = f"nft -f - <<'END'\n{foreign}\nEND\nnft -f - <<'END'\n{script}\nEND\n"
    commands += f"! nft -f - <<'END' 2>/dev/null\n{broken}\nEND\nnft list ruleset"
    done = subprocess.run([*ALONE, "sh", "-uc", commands], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == before
