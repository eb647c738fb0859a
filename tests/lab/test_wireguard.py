"""Plain WireGuard between lab hosts, with the tools of the distribution."""

from dataclasses import dataclass

import pytest

from lab import Host, Lab
from lab.wireguard import quick_down, quick_up


@dataclass
class Tunnel:
    server: Host
    client: Host


def a_key(host: Host) -> tuple[str, str]:
    private = host.run(["wg", "genkey"]).stdout.strip()
    return private, host.run(["wg", "pubkey"], input=private).stdout.strip()


@pytest.fixture
def tunnel(lab: Lab, request: pytest.FixtureRequest) -> Tunnel:
    """A client behind NAT and a server, each with `wg0`; the test's parameter is the client's allowed IPs."""
    number = len(lab.hosts)
    server, nat = lab.host(f"server-{number}"), lab.nat(f"nat-{number}")
    client = lab.host(f"client-{number}", behind=nat)
    server_private, server_public = a_key(server)
    client_private, client_public = a_key(client)
    quick_up(
        server,
        f"""[Interface]
PrivateKey = {server_private}
Address = 10.20.0.1/24, fd99::1/64
ListenPort = 51820
[Peer]
PublicKey = {client_public}
AllowedIPs = 10.20.0.2/32, fd99::2/128
""",
    )
    quick_up(
        client,
        f"""[Interface]
PrivateKey = {client_private}
Address = 10.20.0.2/24, fd99::2/64
DNS = 10.20.0.1, office.internal
[Peer]
PublicKey = {server_public}
Endpoint = {server.ipv4}:51820
AllowedIPs = {request.param}
PersistentKeepalive = 25
""",
    )
    return Tunnel(server, client)


@pytest.mark.parametrize("tunnel", ["10.20.0.0/24, fd99::/64"], indirect=True)
def test_wg_quick_brings_up_a_tunnel_that_passes_traffic_both_ways(tunnel: Tunnel) -> None:
    for here, there in ((tunnel.client, "1"), (tunnel.server, "2")):
        assert here.ping(f"10.20.0.{there}")
        assert here.ping(f"fd99::{there}")
    assert "nameserver 10.20.0.1\nsearch office.internal" in tunnel.client.path("/etc/resolv.conf").read_text()

    quick_down(tunnel.client)
    assert not tunnel.client.ping("10.20.0.1", count=1, timeout=0.3)
    assert tunnel.client.path("/etc/resolv.conf").read_text() == ""


@pytest.mark.parametrize("tunnel", ["0.0.0.0/0, ::/0"], indirect=True)
def test_a_full_tunnel_takes_the_default_route(tunnel: Tunnel) -> None:
    assert tunnel.client.ping("10.20.0.1")
    assert tunnel.client.ping("fd99::1")
    assert "dev wg0" in tunnel.client.run(["ip", "route", "get", "203.0.113.99"]).stdout
    assert "dev wg0" in tunnel.client.run(["ip", "route", "get", "2001:db8::99"]).stdout
