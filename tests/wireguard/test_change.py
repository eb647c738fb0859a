"""Changes as requests of the userspace protocol and as runs of `wg`."""

import dataclasses
from ipaddress import IPv6Network, ip_network

import pytest
from hypothesis import given

from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.keys import PrivateKey
from isthmus.wireguard.tool import PEERS_PER_RUN, as_wg_runs
from isthmus.wireguard.uapi import as_uapi
from tests.wireguard.strategies import interface_changes

PRIVATE = PrivateKey(bytes(range(1, 33)))
ONE = PrivateKey(bytes(range(3, 35))).public()
OTHER = PrivateKey(bytes(range(4, 36))).public()

CHANGE = InterfaceChange(
    private_key=PRIVATE,
    listen_port=51820,
    fwmark=0,
    peers=(
        PeerChange(
            ONE,
            endpoint=Endpoint("2001:db8::7", 51820),
            allowed_ips=(ip_network("10.0.0.1/32"), ip_network("fd00::/64")),
            keepalive=25,
        ),
        PeerChange(OTHER, remove=True),
    ),
)


def test_a_change_as_a_request_of_the_userspace_protocol() -> None:
    assert as_uapi(CHANGE).decode().split("\n") == [
        "set=1",
        f"private_key={PRIVATE.reveal_hex()}",
        "listen_port=51820",
        "fwmark=0",
        f"public_key={ONE.hex()}",
        "endpoint=[2001:db8::7]:51820",
        "persistent_keepalive_interval=25",
        "replace_allowed_ips=true",
        "allowed_ip=10.0.0.1/32",
        "allowed_ip=fd00::/64",
        f"public_key={OTHER.hex()}",
        "update_only=true",
        "remove=true",
        "",
        "",
    ]


def test_a_change_as_one_run_of_wg() -> None:
    [run] = as_wg_runs("wg0", CHANGE)
    assert " ".join(run.arguments) == (
        "set wg0 private-key /dev/stdin listen-port 51820 fwmark 0"
        f" peer {ONE} endpoint [2001:db8::7]:51820 persistent-keepalive 25 allowed-ips 10.0.0.1/32,fd00::/64"
        f" peer {OTHER} remove"
    )
    assert run.stdin == PRIVATE.reveal() + "\n"


def test_a_replacement_states_the_whole_configuration() -> None:
    whole = InterfaceChange(PRIVATE, 51820, peers=CHANGE.peers[:1], replace=True)
    assert b"\nfwmark=0\nreplace_peers=true\npublic_key=" in as_uapi(whole)
    [run] = as_wg_runs("wg0", whole)
    assert run.arguments == ("setconf", "wg0", "/dev/stdin")
    assert f"PrivateKey = {PRIVATE.reveal()}" in run.stdin
    assert f"PublicKey = {ONE}" in run.stdin


def test_a_change_of_nothing_runs_nothing() -> None:
    assert InterfaceChange().is_empty
    assert not CHANGE.is_empty
    assert as_wg_runs("wg0", InterfaceChange()) == []
    assert as_uapi(InterfaceChange()) == b"set=1\n\n"


def test_many_peers_are_spread_over_runs_that_tell_the_key_once() -> None:
    peers = tuple(PeerChange(PrivateKey.generate().public(), keepalive=1) for _ in range(PEERS_PER_RUN + 1))
    first, second = as_wg_runs("wg0", dataclasses.replace(CHANGE, peers=peers))
    assert first.stdin
    assert not second.stdin
    assert [argument for run in (first, second) for argument in run.arguments if argument.endswith("=")] == [
        str(peer.public_key) for peer in peers
    ]
    assert "private-key" not in second.arguments


@given(interface_changes)
def test_no_secret_is_an_argument_or_shown_by_a_run(change: InterfaceChange) -> None:
    for run in as_wg_runs("wg0", change):
        if change.private_key is not None:
            assert change.private_key.reveal() not in f"{run.arguments} {run!r}"
        assert not any(char.isspace() for argument in run.arguments for char in argument)


@given(interface_changes)
def test_a_request_is_one_block_of_key_value_lines(change: InterfaceChange) -> None:
    text = as_uapi(change).decode("ascii")
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 1
    assert all("=" in line for line in text.removesuffix("\n\n").splitlines())


@pytest.mark.parametrize(
    "peer",
    [
        PeerChange(ONE, endpoint=Endpoint("gw\nprivate_key=00", 51820)),
        PeerChange(ONE, endpoint=Endpoint("fe80::1%x\nreplace_peers=true", 51820)),
        PeerChange(ONE, allowed_ips=(IPv6Network("fe80::1%x\nreplace_peers=true"),)),
    ],
)
def test_hostile_text_never_becomes_a_line_of_a_request_or_an_argument(peer: PeerChange) -> None:
    change = InterfaceChange(peers=(peer,))
    with pytest.raises(ValueError, match=r"no place for|host name"):
        as_uapi(change)
    with pytest.raises(ValueError, match="no place for"):
        as_wg_runs("wg0", change)


def test_the_protocol_is_not_given_host_names() -> None:
    change = InterfaceChange(peers=(PeerChange(ONE, endpoint=Endpoint("gw.example.com", 51820)),))
    with pytest.raises(ValueError, match="resolved before"):
        as_uapi(change)
    assert "gw.example.com:51820" in as_wg_runs("wg0", change)[0].arguments


def test_changes_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing else to change"):
        PeerChange(ONE, remove=True, keepalive=25)
    with pytest.raises(ValueError, match="keepalive"):
        PeerChange(ONE, keepalive=65_536)
    with pytest.raises(ValueError, match="listen_port"):
        InterfaceChange(listen_port=65_536)
    with pytest.raises(ValueError, match="private key and listen port"):
        InterfaceChange(PRIVATE, replace=True)
    with pytest.raises(ValueError, match="leaving it out"):
        InterfaceChange(PRIVATE, 51820, peers=(PeerChange(ONE, remove=True),), replace=True)
