"""An inner source address is that of the tunnel it comes by: whoever borrows another one gets nowhere."""

import socket
from functools import partial

import pytest

from lab.alliance import BEACON, WITHIN, Alliance
from lab.mesh import Member
from lab.organisation import PORT as INGRESS_PORT
from lab.probes import IP_FREEBIND, Probe, Probes
from lab.waiting import wait_until
from tests.bridging.calls import asks
from tests.bridging.test_calls import OK, can_connect

ENOUGH = 40
ANYBODY = "2001:db8::9"
GIVES_UP = 3.0


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> None:
    alliance.join()
    wait_until(lambda: can_connect(alliance), within=WITHIN, what="the ingress of A inside the network")


@pytest.mark.case("DATA-005")
def test_a_borrowed_source_reaches_no_host_and_no_ingress_and_satisfies_no_grant(alliance: Alliance) -> None:
    a, wiki, app, desk = alliance.a, alliance.wiki, alliance.app, alliance.a.hosts["desk"]
    other, gateway = alliance.b.hosts["other"], alliance.b.gateway
    listed = f"{app.ipv6}/128"
    # A member of B as the one that has the grant; B's gateway as a peer of A and as anybody; a peer of A as B.
    borrowed = ((other, app.ipv6), (gateway, desk.ipv6), (gateway, ANYBODY), (wiki, app.ipv6))
    with (
        alliance.granted(resource="beacon", instances=None, sources=[listed]),
        alliance.granted(instances=None, sources=[listed]) as (_, token),
        Probes() as probes,
    ):
        for member in (wiki, desk, a.home, a.gateway):
            probes.tap(member)
        for member in (wiki, desk):
            probes.echo(member.host, member.ipv6, BEACON)
        own = probes.send(Probe("own", app.host, wiki.ipv6, BEACON))
        forged = [
            probes.send(Probe(f"{sender.name}-as-{source}-to-{to}-{port}", sender.host, to, port, source=source))
            for sender, source in borrowed
            for to, port in ((wiki.ipv6, BEACON), (desk.ipv6, BEACON), (a.home.ipv6, INGRESS_PORT))
            if sender.ipv6 != to
        ]
        own.passes(within=WITHIN)
        for probe in forged:
            wait_until(partial(has_tried, probe), within=WITHIN, what=f"{probe} to be tried often enough")
        own.passes(within=WITHIN)
        assert own.carried
        assert [str(probe) for probe in forged if probe.carried or probe.arrived or probe.answered] == []
        for sender, source in borrowed[:3]:
            with pytest.raises(OSError, match="timed out"):
                connect_as(sender, source, a.home.ipv6)
        assert asks(alliance, app, token).status == OK


def has_tried(probe: Probe) -> bool:
    return len(probe.sent) > ENOUGH


def connect_as(sender: Member, source: str, to: str) -> None:
    """Begin a connection to the ingress inside the network from an address that another one has."""
    with sender.host.open_socket(socket.AF_INET6) as made:
        made.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        made.bind((source, 0))
        made.settimeout(GIVES_UP)
        made.connect((to, INGRESS_PORT))
