"""Listeners inside overlays on a real host: a WireGuard tunnel, a neighbour on the same wire, and the guard."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.ingress.arrival import TABLE
from isthmus.protocol.ingress import Listener
from isthmus.wireguard.keys import PrivateKey
from lab.host import Host
from lab.lab import Lab
from lab.waiting import wait_until
from lab.wireguard import quick_down, quick_up
from tests.ingress.client import Answer, context_of, read_answer, request
from tests.ingress.conftest import OVERLAY
from tests.ingress.running import Ingress, an_ingress

V4, V6, PORT = "10.77.0.1", "fd77::1", 8443
VIPS = {"vip4": V4, "vip6": V6}
SECONDS = 60.0


@dataclass
class Site:
    """`gateway` runs the ingress; `friend` reaches it through the tunnel, `neighbour` over the wire."""

    gateway: Host
    friend: Host
    neighbour: Host
    ingress: Ingress
    conf: str

    def write(self, *listeners: Listener) -> None:
        facts = self.ingress.world.facts
        wan = Listener("wan", str(self.gateway.ipv4), PORT)
        self.ingress.tell(msgspec.structs.replace(facts, listeners=[wan, *listeners]))

    def status(self) -> Any:
        command = ["isthmus", "ingress", "status", "--json", "--data-dir", str(self.ingress.world.folder)]
        return json.loads(self.gateway.run(command, check=False).stdout)

    def await_listeners(self, *names: str) -> Any:
        def listening() -> Any:
            found = self.status()
            return found if found["running"] and {each["id"] for each in found["listeners"]} == {*names} else None

        return wait_until(listening, within=SECONDS, what=f"the listeners {names}; {self.ingress.said}")

    def is_guarding(self, address: str) -> bool:
        return address in self.gateway.run(["nft", "list", "ruleset"]).stdout

    def call(self, host: Host, address: str) -> Answer:
        context = context_of(self.ingress.world.leaf)
        with (
            host.connect(address, PORT, timeout=15.0) as plain,
            context.wrap_socket(plain, server_hostname="infra.b.example") as secured,
        ):
            secured.sendall(request())
            return read_answer(secured)

    def is_silent(self, host: Host, address: str) -> bool:
        try:
            host.connect(address, PORT, timeout=2.0).close()
        except TimeoutError:
            return True
        return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Lab() as lab, contextlib.ExitStack() as stack:
        gateway, friend, neighbour = (lab.host(name) for name in ("gateway", "friend", "neighbour"))
        ours, theirs = PrivateKey.generate(), PrivateKey.generate()
        conf = (
            f"[Interface]\nPrivateKey = {ours.reveal()}\nAddress = {V4}/24, {V6}/64\nListenPort = 51820\n"
            f"[Peer]\nPublicKey = {theirs.public()}\nAllowedIPs = 10.77.0.2/32, fd77::2/128\n"
        )
        quick_up(
            friend,
            f"[Interface]\nPrivateKey = {theirs.reveal()}\nAddress = 10.77.0.2/24, fd77::2/64\n"
            f"[Peer]\nPublicKey = {ours.public()}\nEndpoint = {gateway.ipv4}:51820\n"
            f"AllowedIPs = {V4}/32, {V6}/128\n",
        )
        ingress = stack.enter_context(an_ingress(tmp_path / "data"))
        found = Site(gateway, friend, neighbour, ingress, conf)
        found.write(*(Listener(name, address, PORT, OVERLAY) for name, address in VIPS.items()))
        gateway.start(
            ["isthmus", "ingress", "run", "--data-dir", str(ingress.world.folder), "--facts", str(ingress.facts_file)]
        )
        yield found


@pytest.mark.case("DATA-004")
@pytest.mark.case("SEED-130")
def test_a_vip_answers_on_its_own_overlay_only(site: Site) -> None:
    # There is no tunnel yet: the ingress is there for the WAN, and says what it waits for.
    site.await_listeners("wan")
    wait_until(lambda: set(site.status()["left_out"]) == set(VIPS), within=SECONDS, what="a word on both VIPs")
    assert site.call(site.neighbour, str(site.gateway.ipv4)).status == 200

    # An address that is on no tunnel proves nothing.
    site.gateway.run(["ip", "address", "add", f"{V4}/32", "dev", "eth0"])
    wait_until(lambda: "is no tunnel" in site.status()["left_out"]["vip4"], within=SECONDS, what="a word on eth0")
    site.gateway.run(["ip", "address", "del", f"{V4}/32", "dev", "eth0"])

    quick_up(site.gateway, site.conf)
    site.await_listeners("wan", "vip4", "vip6")
    for address in VIPS.values():
        assert site.call(site.friend, address).status == 200
        assert site.ingress.world.upstream.seen[-1].one("X-Sdwan-Network") == OVERLAY
    before = {each["id"]: each["dropped"] for each in site.status()["listeners"]}

    for address, gateway in ((V4, site.gateway.ipv4), (V6, site.gateway.ipv6)):
        # The wire leads packets for the VIP to the physical interface of its host, which would take them.
        device = site.gateway.link.device
        site.gateway.link.router.ip(f"route replace {address} via {gateway} dev {device} onlink")
        assert site.is_silent(site.neighbour, address)
    after = {each["id"]: each["dropped"] for each in site.status()["listeners"]}
    assert after["vip4"] > before["vip4"]
    assert after["vip6"] > before["vip6"]
    # The host's own address is its own, but a call from itself has not come over the overlay.
    assert site.is_silent(site.gateway, V4)
    assert site.gateway.ping(V4, count=1).received == 1

    # Somebody empties the kernel's tables: nothing else keeps the neighbour out, and the guard comes back.
    def is_open() -> bool:
        site.gateway.run(["nft", "delete", "table", "inet", TABLE], check=False)
        return not site.is_silent(site.neighbour, V6)

    wait_until(is_open, within=SECONDS, what="the neighbour at the listener, without a guard")
    wait_until(lambda: TABLE in site.gateway.run(["nft", "list", "tables"]).stdout, within=SECONDS, what="the guard")

    # The listener goes with the tunnel, and the guard with the listener.
    site.write(Listener("vip6", V6, PORT, OVERLAY))
    site.await_listeners("wan", "vip6")
    wait_until(lambda: not site.is_guarding(V4), within=SECONDS, what="its guard to go")
    quick_down(site.gateway)
    site.await_listeners("wan")
    quick_up(site.gateway, site.conf)
    site.await_listeners("wan", "vip6")
    # A tunnel that was made anew begins with a handshake that its old sessions have to time out for.
    wait_until(lambda: not site.is_silent(site.friend, V6), within=SECONDS, what="the friend through the new tunnel")
    assert site.call(site.friend, V6).status == 200


@pytest.mark.case("DATA-004")
def test_without_the_guard_there_is_no_listener(site: Site) -> None:
    """The program that would set it fails, as it does without the right to."""
    broken = site.gateway.path("/run/lab/nft")
    broken.write_text("#!/bin/sh\necho 'Operation not permitted' >&2\nexit 1\n")
    broken.chmod(0o755)
    real = site.gateway.run(["sh", "-c", "command -v nft || echo /usr/sbin/nft"]).stdout.strip()
    site.gateway.run(["mount", "--bind", "/run/lab/nft", real])
    quick_up(site.gateway, site.conf)
    wait_until(
        lambda: "Operation not permitted" in str(site.status()["left_out"]), within=SECONDS, what="a word on the guard"
    )
    site.await_listeners("wan")
    assert site.call(site.neighbour, str(site.gateway.ipv4)).status == 200
    site.gateway.run(["umount", real])
    site.await_listeners("wan", "vip4", "vip6")
    assert site.call(site.friend, V6).status == 200
