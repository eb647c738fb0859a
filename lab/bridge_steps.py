"""The demo's third part: two organisations join a network each, and grants say what passes between them."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from isthmus.domain.mesh.crossing import LEASE
from lab import web
from lab.certificates import Authority
from lab.host import Host
from lab.lab import Lab
from lab.meeting import at_once
from lab.mesh import Member, token_in
from lab.organisation import PORT as INGRESS_PORT
from lab.organisation import Organisation, federate
from lab.probes import Probe, Probes
from lab.terminal import Terminal
from lab.traces import allowed_ips, handshakes, public_key, routes, rules
from lab.waiting import wait_until
from lab.zone import NsdHost

FOLLOW_SECONDS = 40.0
PORT, BEACON = 443, 4000
LEAF = "/var/lib/isthmus-agent/instance/current"
NETWORKS = {"a": "office", "b": "plant"}
SUBJECT = "bob@b.example"
CUT = (
    "add table inet cut; add chain inet cut out {{ type filter hook output priority 0; }};"
    " add rule inet cut out ip daddr {address} drop"
)


@dataclass
class Alliance:
    """Two organisations, the name server of their zones, and what was made on the way."""

    say: Terminal
    lab: Lab
    a: Organisation
    b: Organisation
    probes: Probes
    started: float
    web: Authority = field(default_factory=lambda: Authority("wiki"))
    bridge: str = ""
    grants: dict[str, str] = field(default_factory=dict)
    token: str = ""

    @property
    def both(self) -> tuple[Organisation, Organisation]:
        return self.a, self.b

    def close(self) -> None:
        for site in self.both:
            site.api.close()

    def logs(self) -> dict[str, str]:
        agents = {name: each.agent.output for site in self.both for name, each in site.mesh.members.items()}
        return {site.domain: site.log for site in self.both} | agents

    def member(self, name: str) -> Member:
        return (self.a if name[0] == "a" else self.b).mesh.members[name]

    def types(self, host: Host, *command: str, check: bool = True) -> str:
        """A command on any host; shown, whatever became of it. Returns what it printed."""
        done = host.run(command, check=check)
        self.say.command(host, command, done.stdout or done.stderr)
        return done.stdout

    def expects(self, holds: bool, text: str) -> None:
        """A fact if it holds, the end of the demo if not."""
        if not holds:
            raise AssertionError(f"this does not hold: {text}")
        self.say.fact(text)

    def waits(self, what: str, condition: Callable[[], Any]) -> None:
        wait_until(condition, within=FOLLOW_SECONDS, what=what)

    @property
    def stream(self) -> Probe:
        """Datagrams of the named instance to the beacon of A, tapped at A's gateway."""
        return self.probes.all["beacon"]

    def ends(self, what: str, site: Organisation, *command: str, is_told: bool = True) -> None:
        """A command that stops the stream; measured from what the audit log says of it until the last datagram, at A
        and, where the other side is told, at the gateway of B."""
        site.cli(*command)
        rows = site.api.get("/audit", params={"limit": 20}).raise_for_status().json()["items"]
        moment = next(row["at"] for row in rows if row["actor"] == "local")
        since = datetime.fromisoformat(moment).timestamp() - time.time() + time.monotonic()
        told = [f"last packet into A {self.stream.stops(since, within=FOLLOW_SECONDS) * 1e3:.0f} ms later"]
        if is_told:
            told.append(f"out of B {self.stream.stops_to_be_carried(since, within=FOLLOW_SECONDS) * 1e3:.0f} ms later")
        self.say.fact(f"{what}: {', '.join(told)}")

    def flows(self) -> None:
        """The stream runs, or runs again."""
        self.say.fact(f"the stream runs, {self.stream.passes(within=FOLLOW_SECONDS) * 1e3:.0f} ms later")


def assemble(say: Terminal, lab: Lab, probes: Probes) -> Alliance:
    """Start the processes of both at once."""
    started, names = time.monotonic(), NsdHost(lab)
    a, b = (Organisation(names, name, watch=say.command) for name in NETWORKS)
    at_once([a.await_server, b.await_server])
    return Alliance(say, lab, a, b, probes, started)


def initialise(alliance: Alliance) -> None:
    """Both make themselves ready to federate, and their operators introduce them to each other"""
    at_once([site.init for site in alliance.both])
    code = federate(alliance.a, alliance.b)
    alliance.say.fact(f"both have seen {code}: A and B are active to each other")


def furnish(alliance: Alliance) -> None:
    """Each has a network with a gateway, its own backend and hosts in it; two hosts of B get the leaf of an instance"""
    hosts = {"a": ["a-gw", "a", "a-wiki"], "b": ["b-gw", "b", "b-app", "b-other"]}
    at_once([partial(populate, alliance, site, hosts[site.name]) for site in alliance.both])
    for site in alliance.both:
        site.mesh.settle(within=FOLLOW_SECONDS)
        site.cli("network", "ingress", NETWORKS[site.name], "--peer", site.name)
    alliance.b.cli("instance", "list")


def populate(alliance: Alliance, site: Organisation, names: list[str]) -> None:
    network = NETWORKS[site.name]
    site.cli("network", "create", network)
    for name in names:
        host = site.host if name == site.name else alliance.lab.host(name)
        jump = ["--kind", "jump", "--endpoint", f"{host.ipv4}:51820"] if name.endswith("-gw") else []
        printed = site.cli("peer", "create", name, "--network", network, *jump)
        instance = ["--instance"] if name in ("b-app", "b-other") else []
        site.mesh.enroll(host, token_in(printed), *instance)
        site.mesh.run_agent(host, network)


def propose(alliance: Alliance) -> None:
    """A proposes a bridge for its office, and B accepts it with its plant: a tunnel, through which nothing passes"""
    a, b = alliance.both
    a.cli("bridge", "propose", b.domain, "--network", NETWORKS["a"])
    alliance.waits("the proposal at B", lambda: bridge_of(b))
    alliance.bridge = str(bridge_of(b)["id"])
    b.cli("bridge", "accept", alliance.bridge, "--network", NETWORKS["b"])
    alliance.waits("the bridge to be effective", lambda: all(bridge_of(site).get("effective") for site in (a, b)))
    here, key = alliance.member("a-gw"), public_key(alliance.member("b-gw"))
    alliance.waits("a handshake of the gateways", lambda: handshakes(here).get(key))
    alliance.say.fact(f"the gateways hold a tunnel with exactly {', '.join(sorted(allowed_ips(here)[key]))}")
    web.serve(alliance.member("a-wiki").host, alliance.member("a-wiki").ipv6, PORT, alliance.web)
    alliance.expects(not fetches(alliance, "b-app"), "nothing passes yet")


def bridge_of(site: Organisation) -> dict[str, Any]:
    found: list[dict[str, Any]] = site.api.get("/bridges").raise_for_status().json()["items"]
    return next((each for each in found if each["state"] != "revoked"), {})


def fetches(alliance: Alliance, name: str) -> bool:
    """Whether a host gets the page of A's wiki."""
    host = alliance.member(name).host
    command = web.fetch_command(host, alliance.member("a-wiki").ipv6, PORT, alliance.web)
    return alliance.types(host, *command, check=False) == web.ANSWER


def grant(alliance: Alliance) -> None:
    """A names its wiki and grants it to one instance of B, over one network, from one prefix"""
    wiki = alliance.member("a-wiki")
    where = ["--network", NETWORKS["a"], "--address", wiki.ipv6]
    alliance.a.cli("service", "create", "wiki", *where, "--port", str(PORT))
    alliance.token = grant_service(alliance, "wiki")
    alliance.waits("the wiki to answer", partial(reads, alliance))
    seconds = time.monotonic() - alliance.started
    alliance.say.fact(f"fresh start → first allowed packet: {seconds:.1f} s")
    alliance.a.cli("service", "create", "beacon", *where, "--protocol", "udp", "--port", str(BEACON))
    grant_service(alliance, "beacon")


def grant_service(alliance: Alliance, name: str) -> str:
    """Grant a service as narrowly as can be; returns the token."""
    narrow = ["--instance", instance_of(alliance, "b-app"), "--network", NETWORKS["a"]]
    narrow += ["--source", prefix_of(alliance.b), "--expires", "30d"]
    what = ["--kind", "service", "--resource", name, "--scopes", "connect,read"]
    printed = alliance.a.cli("grant", "create", "--to", SUBJECT, *what, *narrow)
    alliance.grants[name] = re.findall(r"^grant (\S+)$", printed, re.MULTILINE)[0]
    return printed.split()[-1]


def reads(alliance: Alliance) -> bool:
    return web.answers(alliance.member("b-app").host, alliance.member("a-wiki").ipv6, PORT, alliance.web)


def instance_of(alliance: Alliance, peer: str) -> str:
    items = alliance.b.api.get("/instances").raise_for_status().json()["items"]
    return next(str(each["id"]) for each in items if each["peer"] is not None and each["peer"]["name"] == peer)


def prefix_of(site: Organisation) -> str:
    found = site.api.get("/networks", params={"name": NETWORKS[site.name]}).raise_for_status().json()["items"]
    return str(found[0]["cidr_v6"])


def packets(alliance: Alliance) -> None:
    """HTTPS from the named instance's host works, and from its neighbour it does not"""
    alliance.expects(fetches(alliance, "b-app"), "b-app reads the wiki of A")
    alliance.expects(not fetches(alliance, "b-other"), "b-other does not")
    alliance.a.cli("bridge", "status", alliance.bridge)


def calls(alliance: Alliance) -> None:
    """The same grant decides calls: over the bridge with the instance's leaf, and through B's own Federator"""
    body = json.dumps({"kind": "service", "id": service_of(alliance, "wiki")})
    said = directly(alliance, "b-app", body)
    alliance.expects(said["status"] == "200", "b-app is answered 200")
    said = directly(alliance, "b-other", body)
    alliance.expects((said["status"], said["axis"]) == ("403", "instance"), "b-other is answered 403: axis instance")
    alliance.a.cli("grant", "explain", alliance.grants["wiki"], "--request-id", said["request_id"])
    said = by_the_federator(alliance, body)
    alliance.expects((said["status"], said["axis"]) == ("403", "instance"), "B's own Federator is another instance")
    instances = ["--instance", instance_of(alliance, "b-app"), "--instance", said["supplied"]]
    alliance.a.cli("grant", "set", alliance.grants["wiki"], *instances)
    alliance.expects(by_the_federator(alliance, body)["status"] == "200", "once it is listed, it is answered 200")
    alliance.a.cli("audit", "list", "--limit", "5")


def service_of(alliance: Alliance, name: str) -> str:
    items = alliance.a.api.get("/services").raise_for_status().json()["items"]
    return next(str(each["id"]) for each in items if each["name"] == name)


def directly(alliance: Alliance, name: str, body: str) -> dict[str, str]:
    """A call by hand from a host of B to the ingress of A inside the network."""
    host, infra = alliance.member(name).host, alliance.a.infra
    host.path("/etc/isthmus/grant").write_text(f"Authorization: Bearer {alliance.token}\n")
    command = ["curl", "-sS", "-k", "--max-time", "10", "--cert", f"{LEAF}/chain.pem", "--key", f"{LEAF}/key.pem"]
    command += ["--resolve", f"{infra}:{INGRESS_PORT}:[{alliance.member('a').ipv6}]", "-H", "@/etc/isthmus/grant"]
    command += ["-H", f"Isthmus-Origin-Domain: {alliance.b.domain}", "-H", "Isthmus-Api-Version: 0"]
    where = f"https://{infra}:{INGRESS_PORT}/federation/resources/get"
    return asked(alliance, host, command, body, where)


def by_the_federator(alliance: Alliance, body: str) -> dict[str, str]:
    """The same as a component of B asks its own Federator."""
    host = alliance.b.host
    host.path("/etc/isthmus/grant").write_text(f"Authorization: Bearer {alliance.token}\n")
    command = ["curl", "-sS", "--max-time", "10", "--unix-socket", "/var/lib/isthmus/run/outward.sock"]
    command += ["-H", "@/etc/isthmus/grant"]
    return asked(alliance, host, command, body, f"http://federator/rpc/{alliance.a.domain}/resources/get")


def asked(alliance: Alliance, host: Host, command: list[str], body: str, where: str) -> dict[str, str]:
    more = ["-H", "Content-Type: application/json", "-d", body, "-w", "\n%{http_code}", where]
    text, _, status = alliance.types(host, *command, *more).rpartition("\n")
    found = json.loads(text)
    # What the remote said is inside what the own Federator says.
    told = found.get("remote", found)
    names = ("axis", "supplied", "request_id")
    return {"status": str(told.get("status", status))} | {name: str(told.get(name, "")) for name in names}


def take_back(alliance: Alliance) -> None:
    """Whatever is taken back stops at once, on both sides; a stream of datagrams runs all the time"""
    a, b = alliance.both
    wiki, app = alliance.member("a-wiki"), alliance.member("b-app")
    alliance.probes.echo(wiki.host, wiki.ipv6, BEACON)
    alliance.probes.tap(alliance.member("a-gw"))
    alliance.probes.send(Probe("beacon", app.host, wiki.ipv6, BEACON))
    alliance.flows()
    for site in (a, b):
        alliance.ends(f"suspended by {site.name.upper()}", site, "bridge", "suspend", alliance.bridge)
        site.cli("bridge", "resume", alliance.bridge)
        alliance.flows()
    instance = instance_of(alliance, "b-app")
    alliance.ends("instance blocked", a, "remote", "block", b.domain, instance, "--reason", "a test", is_told=False)
    a.cli("remote", "unblock", b.domain, instance)
    alliance.flows()
    reason = ["--reason", "the project is over", "--yes"]
    alliance.ends("grant revoked", a, "grant", "revoke", alliance.grants["beacon"], *reason)
    grant_service(alliance, "beacon")
    alliance.flows()


def expire(alliance: Alliance) -> None:
    """A gateway that is cut off from its controller closes the bridge by itself when its lease has run out"""
    gateway = alliance.member("a-gw").host
    alliance.types(gateway, "nft", CUT.format(address=alliance.a.host.ipv4))
    alliance.say.note(f"… waiting for the lease to end, {LEASE} s at most")
    started = time.monotonic()
    ended = alliance.stream.stops(started, within=LEASE + FOLLOW_SECONDS)
    alliance.expects(ended <= LEASE + 1, f"the last packet passed {ended:.1f} s after the gateway was cut off")
    alliance.types(gateway, "nft", "delete table inet cut")
    alliance.flows()


def part(alliance: Alliance) -> None:
    """B revokes the bridge, and then A the remote: no rule, route or tunnel is left on any host"""
    a, b = alliance.both
    reason = ["--reason", "the project is over", "--yes"]
    alliance.ends("bridge revoked by B", b, "bridge", "revoke", alliance.bridge, *reason)
    for site, other in ((a, b), (b, a)):
        for member in site.mesh.members.values():
            alliance.waits(f"{member.name} to forget", partial(is_clean, member, prefix_of(other)))
    alliance.say.fact("no host holds a rule, a route or a tunnel of the bridge any more")
    a.cli("remote", "revoke", b.domain, "--yes")
    b.await_remote(a, "revoked")
    a.cli("grant", "list")


def is_clean(member: Member, prefix: str) -> bool:
    """Whether nothing on a member's host names the other side's prefix."""
    tunnels = any(prefix in found for found in allowed_ips(member).values())
    return not tunnels and prefix not in routes(member.host) and prefix not in rules(member.host)


STEPS = [initialise, furnish, propose, grant, packets, calls, take_back, expire, part]
