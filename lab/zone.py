"""Zones in a real name server: nsd on a host of a lab, where organisations publish their records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from threading import Lock

from lab.lab import Lab

ADDRESS = "198.51.100.53"
SERVICE = "isthmus-federator"
TTL = 30
FOLDER = "/run/nsd"
START_SECONDS = 10.0

# Nothing of the machine's own nsd is read or written: all files are in the host's own /run.
CONFIG = """
server:
    ip-address: {address}
    username: ""
    chroot: ""
    server-count: 1
    database: ""
    pidfile: ""
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    zonesdir: "{folder}"
    verbosity: 1
remote-control:
    control-enable: no
"""
OF_A_ZONE = """
zone:
    name: {domain}
    zonefile: {domain}.zone
"""
ZONE = """
$ORIGIN {domain}.
$TTL {ttl}
@ SOA ns.{domain}. hostmaster.{domain}. 1 3600 600 86400 {ttl}
@ NS ns
ns A {address}
"""


@dataclass
class Zone:
    """The records of one domain beside SOA and NS, as lines of a zone file."""

    domain: str
    records: list[str] = field(default_factory=list)


class NsdHost:
    """Answers for the zones that were published, and for nothing else. A change restarts it, which takes a moment."""

    def __init__(
        self, lab: Lab, *, address: str = ADDRESS, service: str = SERVICE, ttl: int = TTL, name: str = "dns"
    ) -> None:
        self.lab = lab
        self.host = lab.host(name, address=address)
        self.service = service
        self.ttl = ttl
        self.zones: dict[str, Zone] = {}
        self._changing = Lock()
        self.host.path(FOLDER).mkdir()
        self._write()
        self.process = self.host.start(["nsd", "-d", "-c", f"{FOLDER}/nsd.conf"], name="nsd")
        self.process.wait_for("nsd started", within=START_SECONDS)

    @property
    def address(self) -> str:
        return str(self.host.ipv4)

    def publish(self, domain: str, infra: str, addresses: Sequence[IPv4Address | IPv6Address], port: int) -> None:
        """From now on `domain` is served at `infra`, which has these addresses. Other records of the domain go."""
        records = [f"_{self.service}._tcp.{domain}. SRV 0 0 {port} {infra}."]
        records += [f"{infra}. {'A' if each.version == 4 else 'AAAA'} {each}" for each in addresses]
        self.put(domain, records)

    def put(self, domain: str, records: Sequence[str]) -> None:
        """The records of a zone, lines such as `infra.b.example. A 198.51.100.7`; none takes the zone away."""
        # Organisations that start at once publish at once, and only one server has the port.
        with self._changing:
            self.zones.pop(domain, None)
            if records:
                self.zones[domain] = Zone(domain, list(records))
            self._write()
            self.process.restart()
            self.process.wait_for("nsd started", within=START_SECONDS)

    def _write(self) -> None:
        folder = self.host.path(FOLDER)
        text = CONFIG.format(address=self.address, folder=FOLDER)
        for zone in self.zones.values():
            text += OF_A_ZONE.format(domain=zone.domain)
            begin = ZONE.format(domain=zone.domain, ttl=self.ttl, address=self.address)
            (folder / f"{zone.domain}.zone").write_text("\n".join([begin.lstrip(), *zone.records, ""]))
        (folder / "nsd.conf").write_text(text)
