"""Two networks of B that are bridged with A, each with a listener of B's ingress in a real tunnel from A's host."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from isthmus.wireguard.keys import PrivateKey
from lab.organisation import PORT
from lab.waiting import wait_until
from lab.wireguard import quick_down, quick_up
from tests.federation.party import Party
from tests.federation.wire import Answer, Connection, client_context

WITHIN = 40.0
TUNNEL_PORT = 51_900


@dataclass(frozen=True)
class Overlay:
    """`vip` is where B's ingress listens, `source` the address of A's host inside the same tunnel."""

    a: Party
    b: Party
    network: str
    name: str
    vip: str
    source: str
    port: int
    interface: str
    bridge: str

    def asks(self, data: bytes) -> Answer:
        """One request of A's host through the tunnel, with the leaf of A's Federator."""
        raw = self.a.site.host.connect(self.vip, self.port)
        with Connection(raw, client_context(self.a.credential), self.b.infra) as connection:
            return connection.ask(data)

    def is_open(self) -> bool:
        try:
            self.a.site.host.connect(self.vip, self.port, timeout=1.0).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def two_overlays(a: Party, b: Party) -> Iterator[tuple[Overlay, Overlay]]:
    """While the block runs; afterwards both backends are as before, but for bridges that are revoked."""
    with contextlib.ExitStack() as undoing:
        found = [overlay(undoing, a, b, number) for number in (1, 2)]
        for each in found:
            wait_until(each.is_open, within=WITHIN, what=f"the ingress of {b} in {each.name}")
        yield found[0], found[1]


def overlay(undoing: contextlib.ExitStack, a: Party, b: Party, number: int) -> Overlay:
    networks = [a_network(undoing, party, f"edge-{number}") for party in (a, b)]
    source, vip = (a_peer(undoing, party, network) for party, network in zip((a, b), networks, strict=True))
    port = PORT + number - 1
    placed = {"peer_id": vip["id"], "port": port}
    b.api.put(f"/networks/{networks[1]}/ingress", json=placed).raise_for_status()
    undoing.callback(deleted, b, f"/networks/{networks[1]}/ingress")
    bridge = joined(undoing, a, b, (networks[0], networks[1]))
    interface, addresses = f"edge{number}", [each["address"] for each in (source, vip)]
    tunnel(undoing, (a, b), addresses, interface, TUNNEL_PORT + number)
    return Overlay(a, b, networks[1], f"edge-{number}", addresses[1], addresses[0], port, interface, bridge)


def a_network(undoing: contextlib.ExitStack, party: Party, name: str) -> str:
    found = party.api.post("/networks", json={"name": name}).raise_for_status().json()["id"]
    undoing.callback(deleted, party, f"/networks/{found}")
    return str(found)


def deleted(party: Party, path: str) -> None:
    party.api.delete(path).raise_for_status()


def a_peer(undoing: contextlib.ExitStack, party: Party, network: str) -> dict[str, str]:
    """A peer that no agent plays: its IPv6 address is all that is wanted."""
    body = {"name": f"edge-{party.site.name}-{network[-6:]}"}
    made = party.api.post(f"/networks/{network}/peers", json=body).raise_for_status().json()["peer"]
    undoing.callback(deleted, party, f"/peers/{made['id']}")
    return {"id": made["id"], "address": next(each for each in made["addresses"] if ":" in each)}


def joined(undoing: contextlib.ExitStack, a: Party, b: Party, networks: tuple[str, str]) -> str:
    """A bridge that is effective on both sides; its id, which is the same on both."""
    proposal = {"remote": a.domain, "network_id": networks[1]}
    bridge = str(b.api.post("/bridges", json=proposal).raise_for_status().json()["id"])
    undoing.callback(ended, a, b, bridge)
    wait_until(lambda: a.api.get(f"/bridges/{bridge}").status_code == 200, within=WITHIN, what="the proposal")
    accepted = {"network_id": networks[0], "reason": "a test"}
    a.api.post(f"/bridges/{bridge}/accept", json=accepted).raise_for_status()
    for party in (a, b):
        wait_until(partial(is_effective, party, bridge), within=WITHIN, what=f"the bridge at {party}")
    return bridge


def shown(party: Party, bridge: str) -> Any:
    return party.api.get(f"/bridges/{bridge}").raise_for_status().json()


def is_effective(party: Party, bridge: str) -> bool:
    return bool(shown(party, bridge)["effective"])


def ended(a: Party, b: Party, bridge: str) -> None:
    if shown(b, bridge)["state"] != "revoked":
        b.api.post(f"/bridges/{bridge}/revoke", json={"reason": "a test"}).raise_for_status()
    wait_until(lambda: shown(a, bridge)["state"] == "revoked", within=WITHIN, what=f"the end of the bridge at {a}")


def tunnel(
    undoing: contextlib.ExitStack, parties: tuple[Party, Party], addresses: list[str], interface: str, port: int
) -> None:
    keys = [PrivateKey.generate(), PrivateKey.generate()]
    for own, party in enumerate(parties):
        other = 1 - own
        conf = (
            f"[Interface]\nPrivateKey = {keys[own].reveal()}\nAddress = {addresses[own]}/128\nListenPort = {port}\n"
            f"[Peer]\nPublicKey = {keys[other].public()}\nAllowedIPs = {addresses[other]}/128\n"
            f"Endpoint = {parties[other].site.host.ipv4}:{port}\n"
        )
        quick_up(party.site.host, conf, interface=interface)
        undoing.callback(quick_down, party.site.host, interface=interface)
