"""Bridges on real hosts: what an agent lets pass between two networks, and what it stops at once."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from isthmus.protocol.agent import Bridged, Flow
from lab import Lab, wait_until
from tests.agent.bridges import a_flow, an_id
from tests.agent.hosts import CHECKOUT, INTERFACE, NETWORK
from tests.agent.sides import PORT, SECONDS, SideHost, Sides, heard, sent, waiting

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with Lab() as lab:
        yield Sides(lab)


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def granted(**changes: object) -> Flow:
    """From `far` to a port of `two`."""
    return a_flow(**({"sources": ("10.30.0.5/32", "fd00:30::5/128")} | changes))


def to_one() -> Flow:
    """From `far` and `stranger` to a port of `one`."""
    return a_flow(id=an_id(7), sources=("10.30.0.5/32", "10.30.0.6/32"), destination="10.20.0.2", ports=("6000",))


def settled(sides: Sides, receiver: socket.socket) -> None:
    """Packets that had passed the gateway before have come, and were taken; a flow that is there still passes."""
    for _ in range(2):
        waiting(receiver)
        with closing(sides.one.listen(6000)) as there, closing(sides.stranger.listen(0)) as here:
            sent(here, "and I?", (sides.one.v4, 6000))
            there.sendto(b"you may", there.recvfrom(100)[1])
            assert heard(here) == "you may"


def await_count(sides: Sides, kind: str, more_than: int) -> None:
    wait_until(lambda: sides.counted(kind) > more_than, within=SECONDS, what=f"packets to be counted as {kind}")


def refused(sides: Sides, sender: SideHost, receiver: SideHost, *, port: int = PORT) -> None:
    """A packet from one to the other is dropped, and counted, by our gateway."""
    with closing(receiver.listen(port)) as there, closing(sender.listen(0)) as here:
        before = sides.counted("dropped")
        sent(here, "let me in", (receiver.v4, port))
        await_count(sides, "dropped", before)
        assert waiting(there) == []


def test_only_the_granted_source_reaches_the_granted_port_and_is_answered(sides: Sides) -> None:
    sides.open(granted(), granted(destination="fd00:20::3"), granted(id=an_id(2), protocol="tcp", ports=("80-90",)))
    for destination, source in ((sides.two.v4, sides.far.v4), (sides.two.v6, sides.far.v6)):
        with (
            closing(sides.two.listen(address=destination)) as there,
            closing(sides.far.listen(0, address=source)) as here,
        ):
            sent(here, "hello", (destination, PORT))
            text, back = there.recvfrom(100)
            there.sendto(text.upper(), back)
            assert heard(here) == "HELLO"
    with (
        closing(sides.two.listen(85, kind=socket.SOCK_STREAM)) as server,
        closing(sides.far.host.connect(sides.two.v4, 85)) as client,
        closing(server.accept()[0]) as served,
    ):
        served.sendall(b"hello")
        assert client.recv(5) == b"hello"
    refused(sides, sides.far, sides.two, port=5001)
    refused(sides, sides.far, sides.one)
    refused(sides, sides.stranger, sides.two)
    # What is granted to one side is not granted to the other.
    refused(sides, sides.two, sides.far)
    refused(sides, sides.far, sides.gw)
    assert not sides.far.host.ping(sides.two.v4, count=1)
    assert not sides.far.host.ping(sides.gw.v4, count=1)
    assert not sides.one.host.ping(sides.far.v4, count=1)
    # The network itself is as open as it was.
    assert sides.one.host.ping(sides.two.v4)


@contextmanager
def streaming(server: socket.socket, to: tuple[str, int]) -> Iterator[None]:
    """Messages without end, as a service sends them that was asked once."""
    over = threading.Event()

    def go_on() -> None:
        number = 0
        while not over.wait(0.005):
            number += 1
            # A service of the gateway is told when its packet was dropped.
            with suppress(PermissionError):
                server.sendto(str(number).encode(), to)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("end", ["the flow goes", "its source is barred", "its peer is isolated"])
def test_replies_of_what_is_not_allowed_any_more_stop_at_once(sides: Sides, sockets: ExitStack, end: str) -> None:
    sides.open(granted())
    there = sockets.enter_context(closing(sides.two.listen()))
    here = sockets.enter_context(closing(sides.far.listen(0)))
    sent(here, "send me all of it", (sides.two.v4, PORT))
    _, back = there.recvfrom(100)
    with streaming(there, back):
        for _ in range(20):
            assert heard(here)
        match end:
            case "the flow goes":
                # Another one stays, and the tunnel with it.
                sides.open(to_one())
            case "its source is barred":
                sides.open(granted(), to_one(), barred=("10.30.0.5/32",))
            case _:
                isolated = (sides.one.as_member(), sides.two.as_member(isolated=True))
                sides.apply(sides.config(sides.crossing(granted(), to_one()), neighbours=isolated))
        settled(sides, here)
        assert waiting(here) == []
    sides.open(granted())
    with streaming(there, back):
        assert heard(here), "the same flow again"


def test_services_of_the_gateway_itself_are_reached_by_a_flow_alone_and_it_may_ask_others(
    sides: Sides, sockets: ExitStack
) -> None:
    ingress = granted(id="ingress", sources=("10.30.0.0/24",), destination=sides.gw.v4, ports=("443",))
    sides.open(ingress, to_one())
    there, here = (
        sockets.enter_context(closing(sides.gw.listen(443))),
        sockets.enter_context(closing(sides.far.listen(0))),
    )
    sent(here, "hello", (sides.gw.v4, 443))
    _, back = there.recvfrom(100)
    refused(sides, sides.far, sides.gw, port=444)
    # What the gateway asks is its own matter, and so is the answer.
    with closing(sides.gw.listen(0)) as asking, closing(sides.far.listen(53)) as asked:
        sent(asking, "who is there?", (sides.far.v4, 53))
        _, asker = asked.recvfrom(100)
        asked.sendto(b"far", asker)
        assert heard(asking) == "far"
    with streaming(there, back):
        assert heard(here)
        sides.open(to_one())
        settled(sides, here)
        assert waiting(here) == []


def test_an_error_that_a_flow_causes_finds_its_way_back(sides: Sides, sockets: ExitStack) -> None:
    sides.open(granted())
    here = sockets.enter_context(closing(sides.far.listen(0)))
    here.connect((sides.two.v4, PORT))

    def is_told() -> bool:
        try:
            here.send(b"is there anybody?")
            waiting(here)
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_told, within=SECONDS, what="an error: the port is not in use")


def test_nobody_crosses_from_one_bridge_to_another(sides: Sides) -> None:
    everything = [
        a_flow(sources=("0.0.0.0/0",), destination=each, ports=("1-65535",)) for each in (sides.two.v4, sides.third.v4)
    ]
    far = sides.crossing(*everything, local=(*NETWORK,))
    third = sides.crossing(
        *everything,
        id=an_id(0xB2),
        public_key=sides.third.public_key,
        endpoint=f"{sides.third.host.ipv4}:51820",
        prefixes=sides.third.network,
        local=(*NETWORK,),
    )
    sides.apply(sides.config(far, third))
    wait_until(lambda: sides.handshake_with(sides.third), within=SECONDS, what="a handshake")
    for sender in (sides.far, sides.third):
        with closing(sides.two.listen()) as there, closing(sender.listen(0)) as here:
            sent(here, "to you", (sides.two.v4, PORT))
            assert heard(there) == "to you"
    refused(sides, sides.far, sides.third)
    refused(sides, sides.third, sides.far)


@pytest.mark.case("DATA-005")
def test_an_address_of_another_side_is_believed_inside_its_tunnel_alone(sides: Sides, lab_outsider: SideHost) -> None:
    sides.open(granted(), granted(id=an_id(3), sources=("10.20.0.2/32",), destination=sides.far.v4))
    with closing(sides.two.listen()) as there, closing(sides.far.listen()) as away:
        with closing(sides.far.listen(0)) as here:
            sent(here, "genuine", (sides.two.v4, PORT))
            assert heard(there) == "genuine"
        with closing(sides.one.listen(0)) as here:
            sent(here, "genuine", (sides.far.v4, PORT))
            assert heard(away) == "genuine"
        # From outside of all tunnels: with the address of the other side, and with that of a peer that may go there.
        for source, target in ((sides.far.v4, sides.two.v4), (sides.one.v4, sides.far.v4)):
            before = sides.counted("forged")
            with borrowed(lab_outsider, source) as here:
                # The internet of a lab is one router; a real attacker sits next to the gateway.
                link = sides.gw.host.link
                link.router.ip(f"route replace {target}/32 via {link.ipv4} dev {link.device} onlink")
                sent(here, "forged", (target, PORT))
                await_count(sides, "forged", before)
        # A peer as the other side, the gateway of the other side as a peer and as anybody: WireGuard lets them not out.
        for sender, source in ((sides.one, sides.far.v4), (sides.far_gw, sides.one.v4), (sides.far_gw, "203.0.113.9")):
            with borrowed(sender, source) as here:
                sent(here, "forged", (sides.two.v4, PORT))
        with closing(sides.far.listen(0)) as here:
            sent(here, "genuine", (sides.two.v4, PORT))
            assert heard(there) == "genuine"
        assert (waiting(there), waiting(away)) == ([], [])


@pytest.fixture(scope="module")
def lab_outsider(sides: Sides) -> SideHost:
    return SideHost(sides.lab.host("outsider"), 9)


@contextmanager
def borrowed(host: SideHost, source: str) -> Iterator[socket.socket]:
    """A socket with an address that is not the host's to have."""
    host.shell(f"ip address add {source}/32 dev lo")
    try:
        with closing(host.listen(0, address=source)) as made:
            yield made
    finally:
        host.shell(f"ip address delete {source}/32 dev lo")


def test_a_bridge_that_is_shut_leaves_with_all_its_parts_and_the_mesh_stays(sides: Sides) -> None:
    opened = sides.open(granted())["steps"]
    assert order_of(opened) == [] or order_of(opened)[0] == "rules"
    shut = sides.apply(sides.config())["steps"]
    assert order_of(shut) == ["way", "rules", "route"], shut
    left = sides.gw.shell(f"nft list ruleset; wg show {INTERFACE}; ip route; ip -6 route")
    assert not [each for each in ("10.30.0", "fd00:30:", sides.far_gw.public_key, "bridge_", "flow_") if each in left]
    assert sides.one.host.ping(sides.two.v4)
    reopened = sides.open(granted())["steps"]
    assert order_of(reopened) == ["rules", "way", "route"], reopened
    assert sides.drive_plan() == {"steps": [], "remarks": []}


def order_of(steps: list[str]) -> list[str]:
    """What was done in which order."""
    words = {"load nft": "rules", "wireguard": "way", "add route": "route", "remove route": "route"}
    found = [word for step in steps for start, word in words.items() if step.startswith(start)]
    return list(dict.fromkeys(found))


def test_counters_go_on_while_their_flow_does_and_are_shown(sides: Sides) -> None:
    sides.apply(sides.config())
    sides.open(granted())
    with closing(sides.two.listen()) as there, closing(sides.far.listen(0)) as here:
        for _ in range(3):
            sent(here, "hello", (sides.two.v4, PORT))
            heard(there)
    sides.open(granted(), to_one(), barred=("10.30.0.77/32",))
    (bridge,) = sides.gw.drive("status")["bridged"]["bridges"]
    shown = {flow["id"]: flow["packets"] for flow in bridge["flows"]}
    assert shown == {granted().id: 3, to_one().id: 0}
    sides.open(to_one())
    sides.open(granted(), to_one())
    (bridge,) = sides.gw.drive("status")["bridged"]["bridges"]
    assert {flow["packets"] for flow in bridge["flows"]} == {0}, "a counter ends with its flow"


def test_without_a_word_of_the_server_bridges_shut_when_their_lease_ends_and_open_with_the_next(sides: Sides) -> None:
    sides.open(granted())
    lead = Bridged(6, sides.far_gw.network)
    sides.apply(sides.config(sides.crossing(granted()), lease=6))
    sides.one.apply(sides.one.config_through(sides.gw, bridged=lead))
    both = (sides.gw, sides.one)
    command = [sys.executable, "-m", "tests.agent.driver", "config"]
    running = [each.host.start(command, name="config", env=ENV) for each in both]
    try:
        with closing(sides.two.listen()) as there, closing(sides.far.listen(0)) as here:
            wait_until(lambda: not any(leads(each, sides.far_gw) for each in both), within=SECONDS, what="the end")
            rules = sides.gw.shell("nft list ruleset")
            assert "bridge_" not in rules
            assert sides.one.host.ping(sides.two.v4), "the mesh is kept"
            # A restarted agent has no more of the lease than the one before it.
            assert sides.gw.drive("plan")["steps"] == []
            for process in running:
                process.signal(signal.SIGUSR1)
            wait_until(lambda: all(leads(each, sides.far_gw) for each in both), within=SECONDS, what="the bridge")
            sent(here, "hello again", (sides.two.v4, PORT))
            assert heard(there) == "hello again"
    finally:
        for process in running:
            process.stop()
        sides.one.apply(sides.one.config_through(sides.gw, bridged=Bridged(60, sides.far_gw.network)))


ENV = {"PYTHONPATH": str(CHECKOUT)}


def leads(host: SideHost, other: SideHost) -> bool:
    """Whether a route and allowed IPs of the host lead to the other's network."""
    return all(
        other.network[0] in host.shell(command) for command in (f"wg show {INTERFACE} allowed-ips", "ip route show")
    )
