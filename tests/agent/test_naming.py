"""From a config to names and lookups: what a jump peer answers, and how a host is told whom to ask."""

from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.agent import resolv_conf
from isthmus.agent.desired import read
from isthmus.agent.errors import InvalidConfig
from isthmus.agent.naming import Naming, lookup_steps
from isthmus.agent.observed import LinkNames, Lookups
from isthmus.agent.steps import AskOnLink, ForgetLink, ListServers, UnlistServers
from isthmus.domain.addresses import IPAddress
from isthmus.protocol.agent import Config, Dns
from isthmus.server.application import wire
from tests.agent.builders import a_config, a_gateway, a_neighbour
from tests.domain.strategies import Topology, few, topologies

CIDRS = ("10.20.0.0/16", "fd00:20::/64")
SERVERS = ("10.20.0.1", "fd00:20::1", "10.20.0.2", "fd00:20::2", "10.20.0.3", "fd00:20::3")
ASKING = Dns("office.internal", CIDRS, SERVERS)
ANSWERING = Dns("office.internal", CIDRS, upstreams=("192.0.2.53",))


def naming(dns: Dns, **changes: object) -> Naming:
    found = read(a_config(a_gateway(), a_neighbour(5), dns=dns, **changes)).naming
    assert found is not None
    return found


@few
@given(topologies())
def test_jump_peers_answer_for_exactly_the_peers_that_may_take_part(topology: Topology) -> None:
    for me in topology.peers:
        if me.blocked or not me.is_listed:
            continue
        config = msgspec.json.decode(
            msgspec.json.encode(wire.config(topology.network, me, topology.tunnel_of(me))), type=Config
        )
        found = read(config).naming
        jumps = [peer for peer in topology.visible if peer.is_jump and peer.id != me.id]
        if not me.is_jump:
            assert (found is None) == (not jumps)
            assert found is None or set(found.servers) == {address for jump in jumps for address in jump.addresses}
            assert found is None or found.zone is None
            continue
        assert found is not None
        assert found.zone is not None
        assert found.zone.names == {peer.name: peer.addresses for peer in topology.visible}
        assert found.zone.server == me.name
        assert found.servers == me.addresses
        assert found.cidrs == topology.network.cidrs


def test_a_peer_that_got_another_name_or_went_is_not_known_by_the_old_one() -> None:
    before = naming(ANSWERING).zone
    after = read(a_config(a_neighbour(5, name="renamed"), dns=ANSWERING)).naming
    assert before is not None
    assert after is not None
    assert after.zone is not None
    assert set(before.names) == {"me", "gw", "peer-5"}
    assert set(after.zone.names) == {"me", "renamed"}


@pytest.mark.parametrize(
    "dns",
    [
        Dns("Not A Domain", CIDRS, SERVERS),
        Dns("office.internal; drop", CIDRS, SERVERS),
        Dns("office.internal", ("10.20.0.1/16",), SERVERS),
        Dns("office.internal", CIDRS, ("localhost",)),
        Dns("office.internal", CIDRS, (), ("fe80::1%eth0",)),
    ],
)
def test_a_config_with_names_that_are_none_is_refused(dns: Dns) -> None:
    with pytest.raises(InvalidConfig):
        read(a_config(dns=dns))


def test_a_host_that_can_ask_several_asks_the_jump_peers_for_the_networks_own_names() -> None:
    wanted = naming(ASKING)
    (step,) = lookup_steps(wanted, Lookups("resolved"), listing_changed=False)
    domains = ("0.0.0.0.0.0.0.0.0.2.0.0.0.0.d.f.ip6.arpa", "20.10.in-addr.arpa", "office.internal")
    assert step == AskOnLink(tuple(map(ip_address, SERVERS)), domains)
    told = Lookups("resolved", LinkNames(tuple(map(ip_address, SERVERS)), frozenset(domains)))
    assert list(lookup_steps(wanted, told, listing_changed=False)) == []
    assert list(lookup_steps(None, told, listing_changed=False)) == [ForgetLink()]


def test_a_host_that_asks_one_for_everything_gets_one_address_of_each_and_keeps_its_own_as_the_third() -> None:
    wanted = naming(ASKING)
    listed = (ip_address("10.20.0.1"), ip_address("10.20.0.2"))
    assert list(lookup_steps(wanted, Lookups("resolv-conf"), listing_changed=False)) == [ListServers(listed)]
    told = Lookups("resolv-conf", listed=listed)
    assert list(lookup_steps(wanted, told, listing_changed=True)) == []
    assert list(lookup_steps(None, told, listing_changed=True)) == [UnlistServers()]


def test_a_host_that_is_to_be_left_alone_is_and_what_was_changed_before_is_put_back() -> None:
    wanted = naming(ASKING)
    assert list(lookup_steps(wanted, Lookups("off"), listing_changed=False)) == []
    listed = (ip_address("10.20.0.1"),)
    changed = Lookups("off", LinkNames(listed, frozenset({"office.internal"})), listed)
    assert list(lookup_steps(wanted, changed, listing_changed=True)) == [ForgetLink(), UnlistServers()]


def test_a_jump_peers_host_asks_itself() -> None:
    wanted = naming(ANSWERING)
    assert wanted.servers == (ip_address("10.20.9.9"), ip_address("fd00:20::99"))
    steps = list(lookup_steps(wanted, Lookups("resolv-conf"), listing_changed=False))
    assert steps == [ListServers((ip_address("10.20.9.9"),))]


FOREIGN = st.text(st.characters(max_codepoint=255, exclude_characters="#"), max_size=60) | st.just(
    "nameserver 192.0.2.1\nsearch example.com\n# a comment without an end"
)
servers = st.lists(st.ip_addresses(), min_size=1, max_size=3, unique=True).map(tuple)


@given(FOREIGN, servers, servers)
def test_our_lines_come_and_go_and_the_others_stay_byte_for_byte(
    text: str, first: tuple[IPAddress, ...], second: tuple[IPAddress, ...]
) -> None:
    one = resolv_conf.with_servers(text, "ist-office", first)
    assert resolv_conf.listed(one, "ist-office") == first
    both = resolv_conf.with_servers(one, "ist-lab", second)
    assert (resolv_conf.listed(both, "ist-office"), resolv_conf.listed(both, "ist-lab")) == (first, second)
    assert resolv_conf.foreign_servers(both) == resolv_conf.foreign_servers(text)
    assert resolv_conf.without(both, "ist-lab") == one
    other = resolv_conf.without(both, "ist-office")
    assert other is not None
    assert resolv_conf.without(other, "ist-lab") == text


def test_lines_that_someone_broke_are_told_from_lines_that_are_not_there() -> None:
    whole = resolv_conf.with_servers("nameserver 192.0.2.1\n", "ist-office", (ip_address("10.20.0.1"),))
    lines = whole.splitlines(keepends=True)
    assert resolv_conf.without("".join(lines[1:]), "ist-office") is None
    assert resolv_conf.without("".join(lines[:2]), "ist-office") is None
    assert resolv_conf.listed("".join(lines[:2]), "ist-office") == ()
    assert resolv_conf.without("nameserver 192.0.2.1\n", "ist-office") == "nameserver 192.0.2.1\n"
