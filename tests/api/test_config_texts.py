"""Configs as text: what `wg` reads out of one is what the peer's agent is told, and nobody else's agent is told it."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Tunnel, tunnel_for
from isthmus.protocol import agent as wire
from isthmus.server.application.config_text import text_of
from isthmus.wireguard.conf_reader import parse
from isthmus.wireguard.dump import parse_dump
from tests.api.agent import Agent, a_network, a_peer
from tests.api.test_enrollment import check_denied_row, last_row
from tests.builders import a_jump, a_static
from tests.builders import a_network as an_office
from tests.builders import a_peer as a_dynamic
from tests.server import Server
from tests.wireguard.space import Space

# Of each neighbour by its key: what leads to it, where it is, and how often it is spoken to.
Model = dict[str, tuple[frozenset[IPNetwork], Endpoint | None, int]]


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    with Space() as made:
        made.interface("wg0")
        yield made


def read_by_wg(space: Space, folder: Path, text: str) -> Model:
    """What an interface has that was given `text` by way of wg-quick and wg."""
    file = folder / "wg-file.conf"
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    space.run("wg", "setconf", "wg0", "/dev/stdin", stdin=space.run("wg-quick", "strip", str(file)))
    shown = parse_dump(space.run("wg", "show", "wg0", "dump"))
    return {str(key): (peer.allowed_ips, peer.endpoint, peer.keepalive) for key, peer in shown.peers.items()}


def said_in(neighbours: list[Any]) -> Model:
    """The same from the neighbours of a config as JSON."""
    return {
        each["public_key"]: (
            frozenset(map(ip_network, each["allowed_ips"])),
            Endpoint.parse(each["endpoint"]) if each.get("endpoint") else None,
            each.get("keepalive") or 0,
        )
        for each in neighbours
    }


def addresses_in(text: str) -> list[str]:
    return [str(each.ip) for each in parse(text).interface.addresses]


def told(agent: Agent) -> wire.Config:
    config = agent.config().config
    assert config is not None
    return config


@pytest.mark.case("SEED-087")
@pytest.mark.parametrize("families", [{}, {"cidr_v4": "10.87.0.0/24"}], ids=["IPv6", "both"])
def test_wg_reads_what_the_own_agent_is_told_and_another_one_is_refused(
    server: Server, admin: httpx2.Client, space: Space, tmp_path: Path, families: dict[str, str]
) -> None:
    network = a_network(admin, **families)
    endpoint = "198.51.100.7:51820" if families else "[2001:db8::7]:51820"
    jump = Agent.enrolled(server, a_peer(admin, network, kind="jump", endpoint=endpoint))
    offering = a_peer(admin, network, additional_allowed_ips=["192.168.87.0/24", "fdaa:87::/48"])
    agents = [jump, Agent.enrolled(server, offering), Agent.enrolled(server, a_peer(admin, network, isolated=True))]
    static = a_peer(admin, network, kind="static")
    stranger = Agent.enrolled(server, a_peer(admin, a_network(admin)))

    for number, agent in enumerate(agents):
        config, shown = told(agent), shown_of(admin, agent.peer_id)
        read = read_by_wg(space, tmp_path, shown["text"])
        # Who is told of all that have direct ways is told of itself too, and passes over that.
        others = [each for each in config.neighbours if each.public_key != config.public_key]
        assert read == said_in(msgspec.to_builtins(others))
        assert jump.public_key in {*read, config.public_key}
        assert addresses_in(shown["text"]) == list(config.addresses)
        for other in (agents[number - 1], stranger):
            check_refused(admin, other, f"/agent/config?peer={agent.peer_id}", agent.peer_id)
            assert told(other).public_key == other.public_key

    file, peer_id = static["config"]["text"], static["peer"]["id"]
    shown = shown_of(admin, peer_id)
    assert read_by_wg(space, tmp_path, file) == said_in(shown["neighbours"])
    assert read_by_wg(space, tmp_path, shown["text"]) == said_in(shown["neighbours"])
    assert addresses_in(file) == shown["addresses"] == static["peer"]["addresses"]
    for other in (*agents, stranger):
        check_refused(admin, other, f"/peers/{peer_id}/config", peer_id)


def shown_of(admin: httpx2.Client, peer_id: str) -> Any:
    """What a peer shall have now, as people are shown it."""
    revision = admin.get(f"/peers/{peer_id}").raise_for_status().json()["desired_revision"]
    return admin.get(f"/peers/{peer_id}/config-revisions/{revision}").raise_for_status().json()


def settings_of(admin: httpx2.Client, peer_id: str) -> Any:
    """All of a peer but its status, which changes with time and with its own calls."""
    found = admin.get(f"/peers/{peer_id}").raise_for_status().json()
    del found["status"]
    return found


def check_refused(admin: httpx2.Client, other: Agent, path: str, victim: str) -> None:
    before, since = settings_of(admin, victim), last_row(admin)
    with other.client() as client:
        refused = client.get(path)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    check_denied_row(admin, since, other)
    assert settings_of(admin, victim) == before


def of_ipv4(tunnel: Tunnel) -> Tunnel:
    """The part of a tunnel that IPv4 has in it: no network of ours is without IPv6, but its texts are made alike."""
    return replace(
        tunnel,
        addresses=tuple(each for each in tunnel.addresses if each.version == 4),
        neighbours=tuple(
            replace(each, allowed_ips=tuple(cidr for cidr in each.allowed_ips if cidr.version == 4))
            for each in tunnel.neighbours
        ),
    )


@pytest.mark.case("SEED-087")
@pytest.mark.parametrize("me", [a_jump(1), a_dynamic(3), a_static(4)], ids=lambda peer: peer.kind.value)
def test_wg_reads_the_model_out_of_a_text_with_ipv4_alone(space: Space, tmp_path: Path, me: Peer) -> None:
    peers = [a_jump(1), a_jump(2), a_dynamic(3), a_static(4), a_dynamic(5, full_encapsulation=True)]
    tunnel = of_ipv4(tunnel_for(an_office(), peers, me))
    model = {
        str(each.public_key): (frozenset(each.allowed_ips), each.endpoint, each.keepalive or 0)
        for each in tunnel.neighbours
    }
    text = text_of(tunnel, me)
    assert model
    assert read_by_wg(space, tmp_path, text) == model
    assert addresses_in(text) == [str(address) for address in tunnel.addresses]
