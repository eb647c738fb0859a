"""The formats against the programs that define them: wg, wg-quick and wireguard-go."""

import dataclasses
import errno
import hashlib
import json
import time
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.conf import Conf, InterfaceSection, PeerSection, render, render_syncconf
from isthmus.wireguard.conf_reader import parse
from isthmus.wireguard.dump import parse_dump
from isthmus.wireguard.keys import PresharedKey, PrivateKey, PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from isthmus.wireguard.tool import as_wg_runs
from isthmus.wireguard.uapi import GET, UapiError, as_uapi, check_set, parse_get
from tests.wireguard.space import Space, eventually
from tests.wireguard.strategies import confs, interface_changes, numeric_endpoints, private_keys

FEW = settings(max_examples=25, deadline=None)

# Hashes, because Hypothesis likes simple bytes for private keys, and no interface is a peer of itself.
PEERS = [PrivateKey(hashlib.sha256(name).digest()).public() for name in (b"one", b"two", b"three")]
ALLOWED = [ip_network(text) for text in ("10.20.0.1/32", "10.20.0.0/24", "fd00::/64", "fd00::7/128", "0.0.0.0/0")]


@st.composite
def live_confs(draw: st.DrawFn) -> Conf:
    """Configurations that an interface can hold as they are.

    No name to resolve, no address for two peers, and no peer with the interface's own key, which WireGuard drops.
    """
    conf, private_key = draw(confs), draw(private_keys)
    seen: set[IPNetwork] = set()
    peers: dict[PublicKey, PeerSection] = {}
    for peer in conf.peers:
        own = tuple(dict.fromkeys(network for network in peer.allowed_ips if network not in seen))
        seen.update(own)
        endpoint = draw(st.none() | numeric_endpoints)
        peers[peer.public_key] = dataclasses.replace(peer, allowed_ips=own, endpoint=endpoint)
    peers.pop(private_key.public(), None)
    port = draw(st.integers(1024, 65_535))
    interface = dataclasses.replace(conf.interface, private_key=private_key, listen_port=port)
    return Conf(interface, tuple(peers.values()))


def state_of(conf: Conf) -> InterfaceState:
    """What an interface that was given `conf` has to report."""
    interface = conf.interface
    assert interface.private_key is not None
    assert interface.listen_port is not None
    return InterfaceState(
        public_key=interface.private_key.public(),
        listen_port=interface.listen_port,
        fwmark=interface.fwmark or 0,
        peers={
            peer.public_key: PeerState(
                peer.public_key,
                endpoint=peer.endpoint,
                allowed_ips=frozenset(peer.allowed_ips),
                keepalive=peer.keepalive or 0,
                has_preshared_key=peer.preshared_key is not None,
            )
            for peer in conf.peers
        },
    )


def dumped(space: Space, name: str) -> InterfaceState:
    return parse_dump(space.run("wg", "show", name, "dump"))


def asked(space: Space, name: str) -> InterfaceState:
    return parse_get(space.ask(name, GET))


def unordered(conf: Conf) -> tuple[InterfaceSection, dict[PublicKey, tuple[object, ...]]]:
    """The model without the order, which an interface does not keep, and with off said in one way."""
    interface = dataclasses.replace(conf.interface, fwmark=conf.interface.fwmark or 0)
    return interface, {
        peer.public_key: (peer.preshared_key, peer.endpoint, frozenset(peer.allowed_ips), peer.keepalive or 0)
        for peer in conf.peers
    }


def without_wg_quick(conf: Conf) -> Conf:
    """What wg-quick passes on to wg: it keeps addresses, names, mtu and table to itself."""
    interface = conf.interface
    return dataclasses.replace(
        conf,
        interface=InterfaceSection(interface.private_key, listen_port=interface.listen_port, fwmark=interface.fwmark),
    )


@FEW
@given(conf=live_confs())
def test_an_interface_holds_the_model_that_its_text_came_from(space: Space, conf: Conf) -> None:
    space.run("wg", "setconf", "wg0", "/dev/stdin", stdin=render_syncconf(conf))
    assert dumped(space, "wg0") == state_of(conf)
    assert asked(space, "wg0") == state_of(conf)
    shown = parse(space.run("wg", "showconf", "wg0"))
    assert unordered(shown) == unordered(without_wg_quick(conf))


@FEW
@given(conf=confs)
def test_wg_quick_takes_its_own_part_of_the_text_and_passes_on_the_rest(
    space: Space, tmp_path_factory: pytest.TempPathFactory, conf: Conf
) -> None:
    file = _conf_file(tmp_path_factory.mktemp("wg-quick"), conf)
    assert parse(space.run("wg-quick", "strip", str(file))) == without_wg_quick(conf)


@pytest.mark.case("PATH-009")
@pytest.mark.parametrize(
    "addresses", [("10.20.0.5/24",), ("fd00:20::5/64",), ("10.20.0.5/24", "fd00:20::5/64")], ids="-".join
)
def test_wg_quick_brings_an_interface_up_from_the_rendered_file(
    space: Space, tmp_path: Path, addresses: tuple[str, ...]
) -> None:
    conf = Conf(
        InterfaceSection(
            private_key=PrivateKey.generate(),
            addresses=tuple(map(ip_interface, addresses)),
            listen_port=51820,
            mtu=1380,
        ),
        (
            PeerSection(
                PEERS[0],
                name="gw\nPostUp = ip link set lo down",
                preshared_key=PresharedKey.generate(),
                endpoint=Endpoint("2001:db8::7", 51820),
                allowed_ips=tuple(ip_interface(text).network for text in addresses),
                keepalive=25,
            ),
        ),
    )
    file = _conf_file(tmp_path, conf)
    space.run("wg-quick", "up", str(file), env={"WG_QUICK_USERSPACE_IMPLEMENTATION": "wireguard-go"})
    try:
        [link] = json.loads(space.run("ip", "-json", "address", "show", "dev", "wg-file"))
        assert link["mtu"] == 1380
        assert {f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]} >= set(addresses)
        state = dumped(space, "wg-file")
        assert dataclasses.replace(state, peers=_idle(state)) == state_of(conf)
        assert "UP" in json.loads(space.run("ip", "-json", "link", "show", "dev", "lo"))[0]["flags"]
    finally:
        space.run("wg-quick", "down", str(file))


def _conf_file(folder: Path, conf: Conf) -> Path:
    file = folder / "wg-file.conf"
    file.touch(mode=0o600)
    file.write_text(render(conf), encoding="utf-8")
    return file


def _idle(state: InterfaceState) -> dict[PublicKey, PeerState]:
    """The peers without their counters: an interface that is up counts its tries."""
    return {key: dataclasses.replace(peer, rx=0, tx=0) for key, peer in state.peers.items()}


peer_steps = st.builds(
    PeerChange,
    st.sampled_from(PEERS),
    endpoint=st.none() | numeric_endpoints,
    allowed_ips=st.none() | st.lists(st.sampled_from(ALLOWED), unique=True).map(tuple),
    keepalive=st.none() | st.integers(0, 65_535),
) | st.builds(PeerChange, st.sampled_from(PEERS), remove=st.just(True))
steps = interface_changes.flatmap(
    lambda change: st.lists(peer_steps, max_size=3).map(
        lambda peers: dataclasses.replace(change, listen_port=None, peers=tuple(peers))
    )
)


def after(state: InterfaceState, change: InterfaceChange) -> InterfaceState:
    """The slow oracle: the state once `change` has happened, as WireGuard documents it."""
    peers = dict(state.peers)
    for step in change.peers:
        if step.remove:
            peers.pop(step.public_key, None)
            continue
        peer = peers.get(step.public_key, PeerState(step.public_key))
        if step.allowed_ips is not None:
            for key, other in peers.items():
                peers[key] = dataclasses.replace(other, allowed_ips=other.allowed_ips - set(step.allowed_ips))
        peers[step.public_key] = dataclasses.replace(
            peer,
            endpoint=step.endpoint or peer.endpoint,
            allowed_ips=peer.allowed_ips if step.allowed_ips is None else frozenset(step.allowed_ips),
            keepalive=peer.keepalive if step.keepalive is None else step.keepalive,
        )
    return InterfaceState(
        public_key=state.public_key if change.private_key is None else change.private_key.public(),
        listen_port=state.listen_port if change.listen_port is None else change.listen_port,
        fwmark=state.fwmark if change.fwmark is None else change.fwmark,
        peers=peers,
    )


@settings(max_examples=10, deadline=None)
@given(walk=st.lists(steps, min_size=1, max_size=6))
def test_the_protocol_and_the_tool_carry_out_the_same_changes(space: Space, walk: list[InterfaceChange]) -> None:
    states = {}
    for name, port in (("wg0", 40_000), ("wg1", 40_001)):
        start = InterfaceChange(PrivateKey.generate(), port, replace=True)
        check_set(space.ask(name, as_uapi(start)))
        states[name] = after(InterfaceState(None, 0, 0, {}), start)
    for step in walk:
        check_set(space.ask("wg0", as_uapi(step)))
        for run in as_wg_runs("wg1", step):
            space.wg(run)
        states = {name: after(state, step) for name, state in states.items()}
        assert asked(space, "wg0") == states["wg0"]
        assert dumped(space, "wg1") == states["wg1"]


@pytest.mark.parametrize("by_tool", [True, False], ids=["tool", "protocol"])
def test_a_replacement_leaves_nothing_of_what_was_before(space: Space, by_tool: bool) -> None:
    before = InterfaceChange(PrivateKey.generate(), 40_000, 7, (PeerChange(PEERS[0], allowed_ips=(ALLOWED[0],)),))
    check_set(space.ask("wg0", as_uapi(before)))
    whole = InterfaceChange(
        PrivateKey.generate(), 40_002, peers=(PeerChange(PEERS[1], allowed_ips=(ALLOWED[1],)),), replace=True
    )
    if by_tool:
        [run] = as_wg_runs("wg0", whole)
        space.wg(run)
    else:
        check_set(space.ask("wg0", as_uapi(whole)))
    assert dumped(space, "wg0") == asked(space, "wg0") == after(InterfaceState(None, 0, 0, {}), whole)


def test_syncconf_turns_off_a_keepalive_that_the_text_no_longer_asks_for(space: Space) -> None:
    """wg itself would keep it: it takes a missing line for no change."""
    on = Conf(InterfaceSection(PrivateKey.generate(), listen_port=40_000), (PeerSection(PEERS[0], keepalive=25),))
    off = Conf(on.interface, (PeerSection(PEERS[0]),))
    for conf in (on, off):
        space.run("wg", "syncconf", "wg0", "/dev/stdin", stdin=render_syncconf(conf))
        assert dumped(space, "wg0") == state_of(conf)


def test_an_interface_says_with_an_errno_what_it_refuses(space: Space) -> None:
    with pytest.raises(UapiError) as refused:
        check_set(space.ask("wg0", b"set=1\nlisten_port=99999\n\n"))
    assert refused.value.errno == errno.EINVAL


def test_the_removal_of_a_peer_that_is_gone_makes_none(space: Space) -> None:
    check_set(space.ask("wg0", as_uapi(InterfaceChange(PrivateKey.generate(), 40_000, replace=True))))
    gone = InterfaceChange(peers=(PeerChange(PEERS[2], remove=True),))
    check_set(space.ask("wg0", as_uapi(gone)))
    for run in as_wg_runs("wg0", gone):
        space.wg(run)
    assert asked(space, "wg0").peers == {}


def test_a_live_session_is_reported_and_survives_changes_around_it(space: Space) -> None:
    keys = {"wg0": PrivateKey.generate(), "wg1": PrivateKey.generate()}
    ports = {"wg0": 40_000, "wg1": 40_001}
    for name, other in (("wg0", "wg1"), ("wg1", "wg0")):
        peer = PeerChange(keys[other].public(), endpoint=Endpoint("127.0.0.1", ports[other]), keepalive=1)
        check_set(space.ask(name, as_uapi(InterfaceChange(keys[name], ports[name], peers=(peer,), replace=True))))
        space.run("ip", "link", "set", name, "up")

    def session() -> PeerState:
        return dumped(space, "wg0").peers[keys["wg1"].public()]

    eventually(lambda: session().latest_handshake is not None, "a handshake")
    eventually(lambda: session().rx > 0 and session().tx > 0, "traffic in both directions")
    shaken = session().latest_handshake
    assert shaken is not None
    assert abs(shaken - time.time()) < 60
    assert asked(space, "wg0").peers[keys["wg1"].public()].latest_handshake == shaken

    around = InterfaceChange(fwmark=0, peers=(PeerChange(PEERS[0], allowed_ips=(ALLOWED[0],)),))
    check_set(space.ask("wg0", as_uapi(around)))
    for run in as_wg_runs("wg0", InterfaceChange(peers=(PeerChange(PEERS[0], remove=True),))):
        space.wg(run)
    received = session().rx
    eventually(lambda: session().rx > received, "more traffic")
    assert session().latest_handshake == shaken
