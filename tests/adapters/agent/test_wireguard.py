"""One suite for both ways to WireGuard, and for the stand-in that tests of the agent use. `wg` speaks to wireguard-go
too, so no kernel module is needed for either."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from ipaddress import ip_network
from typing import Any

import pytest

from isthmus.agent.adapters.net import LinuxNet
from isthmus.agent.adapters.wg_kernel import KernelWireGuard
from isthmus.agent.adapters.wg_userspace import SOCKETS, UserspaceWireGuard
from isthmus.agent.errors import ToolFailed
from isthmus.agent.ports import WireGuard
from isthmus.agent.steps import RemoveInterface
from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.keys import PrivateKey
from isthmus.wireguard.state import InterfaceState, PeerState
from tests.adapters.agent.network import alone
from tests.agent.test_worker import StandInHost

KEY = PrivateKey.generate()
ONE, TWO = (PrivateKey.generate().public() for _ in range(2))
# Sockets of wireguard-go are found by interface name alone, whatever the namespace.
INTERFACE = f"istt{os.getpid()}"[:15]

Work = Callable[[WireGuard], Coroutine[Any, Any, None]]


@pytest.fixture(params=[UserspaceWireGuard, KernelWireGuard, StandInHost])
def run(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    """Runs work on a fresh interface."""

    def in_memory(work: Work) -> None:
        async def on_stand_in() -> None:
            host = StandInHost()
            await host.create(INTERFACE)
            await work(host)

        asyncio.run(on_stand_in())

    def run(work: Work) -> None:
        async def on_interface() -> None:
            await UserspaceWireGuard().create(INTERFACE)
            try:
                await work(request.param())
            finally:
                await LinuxNet().apply(INTERFACE, [RemoveInterface(INTERFACE)])

        alone(on_interface)

    return in_memory if request.param is StandInHost else run


def test_a_fresh_interface_is_empty(run: Callable[[Work], None]) -> None:
    async def work(wireguard: WireGuard) -> None:
        state = await wireguard.state(INTERFACE)
        assert (state.public_key, state.fwmark, dict(state.peers)) == (None, 0, {})

    run(work)


def test_changes_add_up_and_what_is_not_named_stays(run: Callable[[Work], None]) -> None:
    networks = (ip_network("10.20.0.2/32"), ip_network("fd00:20::2/128"))
    peer = PeerChange(ONE, endpoint=Endpoint("198.51.100.7", 51820), allowed_ips=networks, keepalive=25)

    async def work(wireguard: WireGuard) -> None:
        await wireguard.change(INTERFACE, InterfaceChange(KEY, listen_port=4242, fwmark=0x4900_0001, peers=(peer,)))
        first = PeerState(ONE, peer.endpoint, frozenset(networks), keepalive=25)
        expected = InterfaceState(KEY.public(), 4242, 0x4900_0001, {ONE: first})
        assert await wireguard.state(INTERFACE) == expected
        await wireguard.change(INTERFACE, InterfaceChange(fwmark=0, peers=(PeerChange(TWO),)))
        expected = InterfaceState(KEY.public(), 4242, 0, {ONE: first, TWO: PeerState(TWO)})
        assert await wireguard.state(INTERFACE) == expected
        await wireguard.change(INTERFACE, InterfaceChange(peers=(PeerChange(ONE, remove=True),)))
        assert (await wireguard.state(INTERFACE)).peers.keys() == {TWO}

    run(work)


def test_an_allowed_ip_that_moves_is_held_by_one_peer_in_either_order(run: Callable[[Work], None]) -> None:
    network = ip_network("10.20.0.2/32")

    async def work(wireguard: WireGuard) -> None:
        for giver, taker in ((ONE, TWO), (TWO, ONE)):
            start = (PeerChange(giver, allowed_ips=(network,)), PeerChange(taker, allowed_ips=()))
            await wireguard.change(INTERFACE, InterfaceChange(peers=start))
            moved = tuple(PeerChange(key, allowed_ips=(network,) if key == taker else ()) for key in (ONE, TWO))
            await wireguard.change(INTERFACE, InterfaceChange(peers=moved))
            peers = (await wireguard.state(INTERFACE)).peers
            assert peers[taker].allowed_ips == {network}
            assert peers[giver].allowed_ips == frozenset()

    run(work)


def test_an_allowed_ip_that_another_peer_gets_is_taken_from_who_had_it(run: Callable[[Work], None]) -> None:
    network = ip_network("10.20.0.2/32")

    async def work(wireguard: WireGuard) -> None:
        for key in (ONE, TWO):
            await wireguard.change(INTERFACE, InterfaceChange(peers=(PeerChange(key, allowed_ips=(network,)),)))
        peers = (await wireguard.state(INTERFACE)).peers
        assert (peers[ONE].allowed_ips, peers[TWO].allowed_ips) == (frozenset(), frozenset({network}))

    run(work)


def test_an_interface_that_is_not_there_fails_with_a_sentence(run: Callable[[Work], None]) -> None:
    async def work(wireguard: WireGuard) -> None:
        with pytest.raises(ToolFailed):
            await wireguard.state("ist-none")
        with pytest.raises(ToolFailed) as caught:
            await wireguard.change("ist-none", InterfaceChange(KEY))
        assert KEY.reveal() not in str(caught.value)
        assert KEY.reveal_hex() not in str(caught.value)

    run(work)


def test_wireguard_go_ends_with_its_interface_and_leaves_no_socket() -> None:
    async def work() -> None:
        await UserspaceWireGuard().create(INTERFACE)
        assert (SOCKETS / f"{INTERFACE}.sock").exists()
        await LinuxNet().apply(INTERFACE, [RemoveInterface(INTERFACE)])

    alone(work)
    assert not (SOCKETS / f"{INTERFACE}.sock").exists()
