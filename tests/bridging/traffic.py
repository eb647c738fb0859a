"""Packets of all kinds between the two organisations: what grants open, and what nothing opens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.alliance import BEACON, PORT, WITHIN, Alliance
from lab.probes import Probe, Probes

CLOSED = 4443


@dataclass
class Traffic:
    """What runs all the time: `allowed` is what the usual grants open, `others` are what nothing opens."""

    allowed: list[Probe]
    others: list[Probe]

    def passes(self) -> None:
        for probe in self.allowed:
            probe.passes(within=WITHIN)

    def stops(self, since: float) -> float:
        """Wait until nothing gets through any more; returns the seconds until the last one did."""
        return max(probe.stops(since, within=WITHIN) for probe in self.allowed)

    def check_others(self) -> None:
        """None of what nothing opens has ever got anywhere."""
        for probe in self.others:
            assert probe.sent, f"{probe} has not been sent"
            assert not probe.arrived, f"{probe} has arrived"
            assert not probe.answered, f"{probe} was answered"


@contextmanager
def running(alliance: Alliance) -> Iterator[Traffic]:
    """From the named instance and from its neighbour, to the services and beside them."""
    wiki, desk = alliance.wiki, alliance.a.hosts["desk"]
    app, other = alliance.app, alliance.b.hosts["other"]
    with Probes() as probes:
        for member, port in ((wiki, PORT), (wiki, BEACON), (wiki, CLOSED), (desk, PORT)):
            probes.echo(member.host, member.ipv6, port)
        allowed = [
            Probe("wiki", app.host, wiki.ipv6, PORT, "tcp"),
            Probe("beacon", app.host, wiki.ipv6, BEACON, "udp"),
        ]
        others = [
            Probe("other-instance", other.host, wiki.ipv6, PORT, "tcp"),
            Probe("other-instance-udp", other.host, wiki.ipv6, BEACON, "udp"),
            Probe("other-port", app.host, wiki.ipv6, CLOSED, "udp"),
            Probe("other-protocol", app.host, wiki.ipv6, PORT, "udp"),
            Probe("other-host", app.host, desk.ipv6, PORT, "udp"),
            Probe("gateway-of-b", alliance.b.gateway.host, wiki.ipv6, BEACON, "udp"),
            Probe("backwards", wiki.host, app.ipv6, PORT, "udp"),
        ]
        probes.echo(app.host, app.ipv6, PORT)
        for probe in (*allowed, *others):
            probes.send(probe)
        yield Traffic(allowed, others)
