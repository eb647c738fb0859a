"""A config becomes what WireGuard does: on a host with an agent, and on one with plain wg-quick."""

from functools import partial
from typing import Any

import pytest

from isthmus.wireguard.keys import PrivateKey
from lab import Host, wait_until
from lab.mesh import Member
from lab.wireguard import quick_up
from tests.e2e.conftest import Office
from tests.e2e.observing import Pinging, Session, reaches, sessions

pytestmark = pytest.mark.timeout(150)
FOLLOW_SECONDS = 20.0
CONF = "/etc/wireguard/wg0.conf"
SYNC = "wg-quick strip wg0 > /run/wg0.stripped && wg syncconf wg0 /run/wg0.stripped"


def wanted(office: Office, network: str) -> dict[str, set[str]]:
    """The keys of all peers of a network but its jump peer, with their addresses as a jump peer routes them."""
    found = {}
    for peer in office.backend.peers():
        if peer["network"]["name"] == network and peer["public_key"] and peer["kind"] != "jump":
            widths = {each: 32 if "." in each else 128 for each in peer["addresses"]}
            found[peer["public_key"]] = {f"{each}/{width}" for each, width in widths.items()}
    return found


def held(member: Member) -> dict[str, set[str]]:
    return {key: set(session.allowed_ips) for key, session in sessions(member).items()}


def dump(host: Host, interface: str) -> list[str]:
    """What an interface holds of its neighbours, without what passes by it; its own port may be any."""
    lines = host.run(["wg", "show", interface, "dump"]).stdout.splitlines()[1:]
    return sorted("\t".join([*line.split("\t")[:4], line.split("\t")[-1]]) for line in lines)


def survives(before: Session, after: Session) -> bool:
    """The same session goes on: it was not begun anew, and has counted on."""
    return after.handshake == before.handshake > 0 and after.rx >= before.rx and after.tx >= before.tx


def swap(office: Office, gone: str, come: str) -> None:
    """One static peer fewer and one more, in one revision."""
    network = office.backend.peer(gone)["network"]["id"]
    operations: list[dict[str, Any]] = [
        {"action": "delete", "name": gone},
        {"action": "create", "name": come, "kind": "static", "public_key": str(PrivateKey.generate().public())},
    ]
    office.backend.api.post(f"/networks/{network}/peers/bulk", json={"operations": operations}).raise_for_status()


@pytest.mark.case("SEED-088")
def test_an_agent_applies_one_peer_more_and_one_fewer_and_leaves_all_other_sessions_alone(office: Office) -> None:
    backend, gw, laptop = office.backend, office.gw, office.laptop
    key = str(PrivateKey.generate().public())
    backend.create_peer("phone-1", "office", kind="static", public_key=key)
    backend.settle()
    assert held(gw) == wanted(office, "office")
    own = backend.peer("laptop")["public_key"]
    assert reaches(laptop.host, gw.ipv4)
    before = sessions(gw)
    with Pinging(laptop.host, str(gw.ipv4)) as pinging:
        swap(office, "phone-1", "phone-2")
        backend.settle()
        wait_until(lambda: held(gw) == wanted(office, "office"), within=FOLLOW_SECONDS, what="the interface of gw")
    assert (pinging.sent > 0, pinging.lost) == (True, 0)
    after = sessions(gw)
    assert set(before) - set(after) == {key}
    assert len(set(after) - set(before)) == 1
    assert survives(before[own], after[own])

    # The same config once more, by an agent that starts anew and is told everything again.
    set_to, session = dump(gw.host, gw.interface), sessions(gw)[own]
    with Pinging(laptop.host, str(gw.ipv4)) as pinging:
        gw.agent.restart()
        backend.settle()
    assert (pinging.sent > 0, pinging.lost) == (True, 0)
    assert dump(gw.host, gw.interface) == set_to
    assert survives(session, sessions(gw)[own])


def config_of(office: Office, name: str) -> str:
    found = office.backend.api.get(f"/peers/{office.backend.peer(name)['id']}/config").raise_for_status()
    return str(found.json()["text"])


def neighbours(conf: str) -> dict[str, set[str]]:
    """The peers of a wg-quick file with their allowed IPs."""
    found: dict[str, set[str]] = {}
    for section in conf.split("[Peer]")[1:]:
        fields = dict(line.split(" = ", 1) for line in section.splitlines() if " = " in line)
        found[fields["PublicKey"]] = {each.strip() for each in fields["AllowedIPs"].split(",")}
    return found


def quick_held(host: Host) -> dict[str, set[str]]:
    lines = host.run(["wg", "show", "wg0", "allowed-ips"]).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    return {key: set(prefixes.split()) - {"(none)"} for key, prefixes in rows}


def handshake(host: Host, key: str) -> int:
    lines = host.run(["wg", "show", "wg0", "latest-handshakes"]).stdout.splitlines()
    return {of: int(at) for of, at in (line.split("\t") for line in lines)}[key]


def has_handshake(host: Host, key: str) -> bool:
    return handshake(host, key) > 0


@pytest.mark.case("SEED-088")
def test_a_host_with_plain_wg_quick_takes_each_config_as_it_is_and_keeps_its_session(office: Office) -> None:
    backend, lab = office.backend, office.lab
    backend.create_network("depot", cidr_v4="10.50.0.0/24")
    first = backend.join(lab.host("depot-1", address="198.51.100.21"), "depot", kind="jump")
    backend.join(lab.host("depot-2", address="198.51.100.22"), "depot", kind="jump")
    backend.create_peer("scanner", "depot", kind="static", keep_private_key=True)
    backend.settle()
    scanner, conf = lab.host("scanner", behind=lab.nat("yard")), config_of(office, "scanner")
    keys = {name: backend.peer(name)["public_key"] for name in ("depot-1", "depot-2")}
    assert neighbours(conf).keys() == set(keys.values())
    quick_up(scanner, conf)
    assert quick_held(scanner) == neighbours(conf)
    wait_until(partial(reaches, scanner, first.ipv4), within=FOLLOW_SECONDS, what="the jump peer")
    wait_until(partial(has_handshake, scanner, keys["depot-1"]), within=FOLLOW_SECONDS, what="a handshake")
    begun = handshake(scanner, keys["depot-1"])

    backend.delete("depot-2")
    backend.join(lab.host("depot-3", address="198.51.100.23"), "depot", kind="jump")
    backend.settle()
    conf = config_of(office, "scanner")
    assert neighbours(conf).keys() == {keys["depot-1"], backend.peer("depot-3")["public_key"]}
    scanner.path(CONF).write_text(conf)
    scanner.run(["bash", "-c", SYNC])
    assert quick_held(scanner) == neighbours(conf)
    assert handshake(scanner, keys["depot-1"]) == begun
    assert reaches(scanner, first.ipv4)
    # Once more, and nothing is another.
    set_to = dump(scanner, "wg0")
    scanner.run(["bash", "-c", SYNC])
    assert (dump(scanner, "wg0"), handshake(scanner, keys["depot-1"])) == (set_to, begun)
    # Down and up is the same interface, with a session of its own.
    scanner.run(["wg-quick", "down", "wg0"])
    scanner.run(["wg-quick", "up", "wg0"])
    assert quick_held(scanner) == neighbours(conf)
    wait_until(partial(reaches, scanner, first.ipv4), within=FOLLOW_SECONDS, what="the jump peer")
