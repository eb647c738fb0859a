"""The agent on real hosts of a lab: real wireguard-go, routes, rules and packets."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from isthmus.protocol.agent import Forwarding, Neighbour
from lab import CommandFailed, Host, Lab, Nat, wait_until
from tests.agent.builders import a_config, a_neighbour
from tests.agent.hosts import EVERYTHING, GATEWAY, INTERFACE, NETWORK, AgentHost

pytestmark = pytest.mark.timeout(120)

# Everything of a host that the agent may change, in the words of its tools; counters and lifetimes left out.
PICTURE = """
ip -brief link; ip -brief address; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule
nft list ruleset; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.default.forwarding
sysctl -a 2>/dev/null -r 'net.ipv[46].conf.(all|default|eth0|lo).(forwarding|accept_ra|accept_redirects|src_valid_mark)'
"""


def picture(host: AgentHost) -> str:
    return re.sub(r" (expires|used) \S+", "", host.shell(PICTURE))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def gw(lab: Lab) -> AgentHost:
    return AgentHost(lab.host("gw", address=GATEWAY), 1)


@pytest.fixture(scope="module")
def one(lab: Lab) -> AgentHost:
    return AgentHost(lab.host("one"), 2)


@pytest.fixture(scope="module")
def two(lab: Lab) -> AgentHost:
    return AgentHost(lab.host("two", behind=lab.nat("home")), 3)


@pytest.fixture(scope="module")
def web(lab: Lab) -> Host:
    return lab.host("web")


@pytest.fixture
def mesh(gw: AgentHost, one: AgentHost, two: AgentHost) -> None:
    gw.apply(gw.jump_config(one, two))
    one.apply(one.member_config(gw))
    two.apply(two.member_config(gw))
    reach(one, gw.v4)
    reach(two, gw.v4)


def reach(host: AgentHost, address: str) -> None:
    wait_until(lambda: host.host.ping(address, count=1), within=10, what=f"an answer of {address}")


def source_of_pings(web: Host, sender: AgentHost, target: str) -> str:
    """The address from which `web` sees a ping of `sender` come."""
    capture = web.start(["tcpdump", "--immediate-mode", "-lnni", "eth0", "icmp or icmp6"], name="capture")
    try:
        capture.wait_for("listening on")
        assert sender.host.ping(target)
        return capture.wait_for("echo request").partition(" > ")[0].split()[-1]
    finally:
        capture.stop()


def test_peers_reach_each_other_through_the_jump_peer(mesh: None, one: AgentHost, two: AgentHost) -> None:
    assert one.host.ping(two.v4)
    assert two.host.ping(one.v6)


def test_an_applied_config_leaves_no_step(mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost) -> None:
    assert [host.drive("plan") for host in (gw, one, two)] == [{"steps": [], "remarks": []}] * 3
    assert gw.apply(gw.jump_config(one, two))["steps"] == []


def test_a_plan_changes_nothing(gw: AgentHost, lab: Lab) -> None:
    fresh = AgentHost(lab.host("fresh"), 9)
    before = picture(fresh)
    assert fresh.drive("plan")["steps"] == []
    fresh.apply(fresh.member_config(gw))
    fresh.shell(f"ip link delete {INTERFACE}")
    assert [step.split()[0] for step in fresh.drive("plan")["steps"]][:2] == ["create", "mark"]
    assert picture(fresh) == before


def test_a_peer_that_comes_or_goes_disturbs_no_session(
    mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost
) -> None:
    before = sorted(gw.shell(f"wg show {INTERFACE} latest-handshakes").splitlines())
    stranger = a_neighbour(77, allowed_ips=("10.20.0.77/32",))
    config = gw.jump_config(one, two)
    for neighbours, said in (((*config.neighbours, stranger), "peer"), (config.neighbours, "remove peer")):
        (step,) = gw.apply(a_config(*neighbours, **rest_of(config)))["steps"]
        assert step.startswith(f"wireguard: {said} {stranger.public_key}")
        assert one.public_key not in step
        assert set(before) <= set(gw.shell(f"wg show {INTERFACE} latest-handshakes").splitlines())
    assert sorted(gw.shell(f"wg show {INTERFACE} latest-handshakes").splitlines()) == before


def rest_of(config: object) -> dict[str, object]:
    return {name: getattr(config, name) for name in ("addresses", "listen_port", "routes", "forwarding")}


def test_a_roamed_endpoint_is_kept(mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost) -> None:
    # Its own word differs from what the jump peer sees: the address of the NAT.
    seen = sorted(gw.shell(f"wg show {INTERFACE} endpoints").splitlines())
    gw.apply(gw.jump_config(one.as_member(isolated=True), two))
    gw.apply(gw.jump_config(one, two))
    assert sorted(gw.shell(f"wg show {INTERFACE} endpoints").splitlines()) == seen
    gateway = gw.public_key
    one.shell(f"wg set {INTERFACE} peer {gateway} endpoint 198.51.100.7:4242")
    assert one.apply(one.member_config(gw))["steps"] == []
    assert "4242" in one.shell(f"wg show {INTERFACE} endpoints")
    one.shell(f"wg set {INTERFACE} peer {gateway} endpoint {GATEWAY}:51820")


def test_isolated_peers_reach_the_jump_peer_only(mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost) -> None:
    gw.apply(gw.jump_config(one, two.as_member(isolated=True)))
    for there, target in ((one, two), (two, one)):
        assert not there.host.ping(target.v4)
        assert not there.host.ping(target.v6)
        assert there.host.ping("10.20.0.1")
        assert there.host.ping("fd00:20::1")
    gw.apply(gw.jump_config(one, two))
    assert one.host.ping(two.v4)


@pytest.mark.case("SEED-089")
def test_encapsulated_traffic_leaves_with_the_jump_peers_address(
    mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost, web: Host
) -> None:
    assert source_of_pings(web, one, str(web.ipv4)) == str(one.host.ipv4)
    encapsulated = gw.jump_config(one.as_member(encapsulated=True), two)
    gw.apply(encapsulated)
    one.apply(one.member_config(gw, routes=EVERYTHING))
    assert source_of_pings(web, one, str(web.ipv4)) == GATEWAY
    assert source_of_pings(web, one, str(web.ipv6)) == str(gw.host.ipv6)
    # The tunnel's own way is not cut off, and re-applying changes nothing.
    assert one.host.ping(GATEWAY)
    assert gw.apply(encapsulated)["steps"] == []
    assert one.apply(one.member_config(gw, routes=EVERYTHING))["steps"] == []
    assert gw.shell("nft list tables") == "table inet isthmus\n"
    one.apply(one.member_config(gw))
    assert source_of_pings(web, one, str(web.ipv4)) == str(one.host.ipv4)
    members = (one.as_member(), two.as_member())
    gw.apply(a_config(*members, addresses=(gw.v4, gw.v6), listen_port=51820, routes=NETWORK))
    assert gw.shell("nft list tables") == ""
    assert gw.shell("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding") == "0\n0\n"


def test_strict_reverse_path_checks_do_not_cut_the_tunnel_off(
    mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost
) -> None:
    one.shell("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1")
    gw.apply(gw.jump_config(one.as_member(encapsulated=True), two))
    one.apply(one.member_config(gw, routes=EVERYTHING))
    assert one.host.ping(gw.v4).loss == 0
    one.apply(one.member_config(gw))
    one.shell("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0")


def test_ranges_behind_a_host_are_reached_without_routes_there(
    mesh: None, gw: AgentHost, one: AgentHost, two: AgentHost, lab: Lab
) -> None:
    home, nat = two.host.link.ipv4, lab.hosts["home"]
    assert isinstance(nat, Nat)
    printer = lab.host("printer", behind=nat)
    offer, hidden = f"{printer.ipv4}/32", f"{home}/32"
    two.apply(two.member_config(gw, forwarding=Forwarding(offered=(offer,))))
    member = Neighbour("two", two.public_key, (f"{two.v4}/32", f"{two.v6}/128", "192.168.0.0/16"))
    config = gw.jump_config(one)
    gw.apply(a_config(one.as_member(), member, **(rest_of(config) | {"routes": (*NETWORK, "192.168.0.0/16")})))
    one.apply(one.member_config(gw, routes=(*NETWORK, "192.168.0.0/16")))
    reach(two, gw.v4)
    assert source_of_pings(printer, one, str(printer.ipv4)) == hidden.partition("/")[0]
    # What was not offered is not reached, though the jump peer would send it.
    assert not one.host.ping(two.host.link.ipv4 - 9)


def test_a_foreign_interface_of_the_same_name_is_left_alone(gw: AgentHost, lab: Lab) -> None:
    other = AgentHost(lab.host("other"), 8)
    other.shell(
        f"wireguard-go {INTERFACE} && ip address add 10.99.0.1/24 dev {INTERFACE} && ip link set {INTERFACE} up"
    )
    before = picture(other)
    with pytest.raises(CommandFailed, match="that this agent did not make; it is left alone"):
        other.apply(other.member_config(gw))
    with pytest.raises(CommandFailed, match="that this agent did not make; it is left alone"):
        other.drive("leave")
    assert picture(other) == before
    assert other.drive("leave", interface="wg-mine")["steps"] == []
    assert picture(other) == before


def test_a_host_after_leaving_is_as_it_was_before(gw: AgentHost, lab: Lab) -> None:
    guest = AgentHost(lab.host("guest"), 7)
    guest.shell("nft add table inet foreign; wireguard-go wg-own; ip link set wg-own up mtu 1300")
    guest.shell("ip route add 10.77.0.0/16 dev wg-own proto 105; ip rule add priority 100 table 7")
    guest.shell("sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv6.conf.eth0.forwarding=1")
    before = picture(guest)
    everything = Forwarding(between_peers=True, offered=("10.9.0.0/16",))
    flagged = a_neighbour(3, isolated=True, encapsulated=True)
    config = guest.member_config(gw, routes=EVERYTHING, forwarding=everything)
    guest.apply(msgspec.structs.replace(config, neighbours=(*config.neighbours, flagged)))
    assert picture(guest) != before
    guest.drive("leave")
    assert picture(guest) == before
    assert not guest.host.path("/var/lib/isthmus-agent").exists()
    assert guest.drive("leave") == {"steps": [], "remarks": []}


def test_what_was_there_before_gets_in_the_way_of_one_route_only(gw: AgentHost, lab: Lab) -> None:
    local = AgentHost(lab.host("local"), 6)
    local.shell("ip route add 10.20.0.0/24 dev eth0")
    done = local.apply(local.member_config(gw))
    assert done["remarks"] == ["the host has its own route to 10.20.0.0/24 by eth0"]
    assert local.shell("ip route show 10.20.0.0/24").strip() == "10.20.0.0/24 dev eth0 scope link"
    assert "fd00:20::/64" in local.shell(f"ip -6 route show dev {INTERFACE}")


def test_a_large_network_is_applied_and_one_more_peer_costs_little(gw: AgentHost, lab: Lab) -> None:
    big = AgentHost(lab.host("big"), 5)
    members = [a_neighbour(number) for number in range(1, 1001)]
    config = {"addresses": (big.v4,), "listen_port": 51820, "routes": ("10.20.0.0/16",)}
    config["forwarding"] = Forwarding(between_peers=True)
    big.apply(a_config(*members, **config))
    done = big.apply(a_config(*members, a_neighbour(1001), **config), revision=2)
    (step,) = done["steps"]
    assert step.count("peer ") == 1
    # The goal is 60 ms in a running agent; this fails on a plan that grows with the square of the peers.
    assert done["seconds"] < 3
    assert len(big.shell(f"wg show {INTERFACE} peers").splitlines()) == 1001
