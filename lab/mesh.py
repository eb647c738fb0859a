"""The networks of one backend in a lab, and the hosts that a real agent made peers of them."""

import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import httpx2

from lab.certificates import Authority
from lab.host import Host
from lab.process import Process
from lab.waiting import wait_until

WIREGUARD_PORT = 51820
AUTHORITY_FILE = "/etc/isthmus/ca.pem"
SETTLE_SECONDS = 15.0

Watcher = Callable[[Host, Sequence[str], str], None]


@dataclass
class Member:
    """A host that is a peer. `agent` is its running `isthmus agent run`; addresses are those in the tunnel."""

    host: Host
    id: str
    network: str
    addresses: list[IPv4Address | IPv6Address]
    agent: Process

    @property
    def ipv4(self) -> str:
        return next(str(address) for address in self.addresses if address.version == 4)

    @property
    def ipv6(self) -> str:
        return next(str(address) for address in self.addresses if address.version == 6)

    @property
    def interface(self) -> str:
        """The name that the agent gives its interface; Linux allows 15 characters."""
        return f"ist-{self.network}"[:15].rstrip("-")

    @property
    def name(self) -> str:
        """The peer's, which is the host's."""
        return self.host.name


class Mesh:
    """What is done by its API, at `api`, and by its agents, which reach the server at `url`; `authority` has issued the
    certificate that they see there. `watch` is told every command typed: on which host, its words, what it printed."""

    def __init__(self, api: httpx2.Client, url: str, authority: Authority, watch: Watcher) -> None:
        self.api = api
        self.url = url
        self.authority = authority
        self.members: dict[str, Member] = {}
        self.watch = watch

    def type(self, host: Host, *command: str, input: str | None = None, timeout: float = 60.0) -> str:
        """Run a command on a host, show it to the watcher and return what it printed. Raises CommandFailed."""
        done = host.run(command, input=input, timeout=timeout)
        output = done.stdout or done.stderr
        self.watch(host, command, output)
        return done.stdout

    def create_network(self, name: str, **fields: Any) -> dict[str, Any]:
        """Create a network with the fields of `POST /networks`; without `cidr_v4` it is IPv6 only."""
        return self._post("/networks", {"name": name} | fields)

    def create_peer(self, name: str, network: str, **fields: Any) -> dict[str, Any]:
        """Create a peer with the fields of `POST /networks/ID/peers`; the answer has its token or its config."""
        found = self.api.get("/networks", params={"name": network}).raise_for_status().json()["items"]
        return self._post(f"/networks/{found[0]['id']}/peers", {"name": name} | fields)

    def join(self, host: Host, network: str, *options: str, **fields: Any) -> Member:
        """Create a peer with the host's name, enroll the host and run its agent. A jump peer gets its endpoint.
        `options` are those of `isthmus agent enroll`, `fields` of `POST /networks/ID/peers`."""
        if fields.get("kind") == "jump":
            fields = {"endpoint": f"{host.ipv4}:{WIREGUARD_PORT}"} | fields
        created = self.create_peer(host.name, network, **fields)
        self.enroll(host, created["enrollment"]["token"], *options)
        return self.run_agent(host, network)

    def change(self, name: str, /, **fields: Any) -> None:
        """Change a peer with the fields of `PATCH /peers/ID`."""
        self._patch(f"/peers/{self.peer(name)['id']}", fields)

    def change_network(self, name: str, /, **fields: Any) -> None:
        """Change a network with the fields of `PATCH /networks/ID`; the members' addresses are read anew."""
        found = self.api.get("/networks", params={"name": name}).raise_for_status().json()["items"]
        self._patch(f"/networks/{found[0]['id']}", fields)
        self.renumbered()

    def delete(self, name: str, *, force: bool = False) -> None:
        """Delete a peer; the host is no member any more, though its agent is left to find that out."""
        query = {"force": "true"} if force else {}
        self.api.delete(f"/peers/{self.peer(name)['id']}", params=query).raise_for_status()
        self.members.pop(name, None)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.post(path, json=body).raise_for_status().json()
        return answer

    def _patch(self, path: str, body: dict[str, Any]) -> None:
        present = self.api.get(path).raise_for_status().headers["ETag"]
        self.api.patch(path, json=body, headers={"If-Match": present}).raise_for_status()

    def trust(self, host: Host) -> None:
        """Make the agent on `host` trust this server's certificate, by its settings file."""
        host.path(AUTHORITY_FILE).write_text(self.authority.certificate)
        host.path("/etc/isthmus/agent.toml").write_text(f"ca_file = {json.dumps(AUTHORITY_FILE)}\n")

    def enroll(self, host: Host, token: str, *options: str) -> None:
        """`isthmus agent enroll` on the host, the token on standard input."""
        self.trust(host)
        self.type(host, "isthmus", "agent", "enroll", "--server", self.url, "--token-file", "-", *options, input=token)

    def run_agent(self, host: Host, network: str) -> Member:
        """Start `isthmus agent run` on a host that enrolled as the peer of its name."""
        peer = self.peer(host.name)
        addresses = [ip_address(text) for text in peer["addresses"]]
        agent = host.start(["isthmus", "agent", "run"], name="agent")
        self.watch(host, agent.command, "")
        self.members[host.name] = Member(host, peer["id"], network, addresses, agent)
        return self.members[host.name]

    def peer(self, name: str) -> dict[str, Any]:
        """A peer as `isthmus peer show --json` shows it. In a lab no two networks share a name of a peer."""
        for peer in self.peers():
            if peer["name"] == name:
                return peer
        raise LookupError(f"there is no peer {name}")

    def peers(self) -> list[dict[str, Any]]:
        """All peers of all networks."""
        items: list[dict[str, Any]] = self.api.get("/peers", params={"limit": 500}).raise_for_status().json()["items"]
        return items

    def settle(self, *, within: float = SETTLE_SECONDS) -> float:
        """Wait until every running agent has applied the revision that its peer shall have; returns the seconds."""
        started = time.monotonic()
        try:
            wait_until(lambda: not self.behind(), within=within, what="the agents")
        except TimeoutError:
            raise TimeoutError(f"after {within:g} s agents are behind: {'; '.join(self.behind())}") from None
        return time.monotonic() - started

    def behind(self) -> list[str]:
        """The members with a running agent whose last report is not that all is applied, each with the reason."""
        late = []
        for peer in self.peers():
            member = self.members.get(peer["name"])
            if member is None or member.id != peer["id"] or not member.agent.running:
                continue
            status = peer["status"]
            if status["applied_revision"] != peer["desired_revision"] or status["applied_error"]:
                state = f"applied {status['applied_revision']}, desired {peer['desired_revision']}"
                late.append(f"{member.name}: {state}, error {status['applied_error']}")
        return late

    def renumbered(self) -> None:
        """Read the members' addresses anew, after a network's CIDR was changed."""
        for peer in self.peers():
            if peer["name"] in self.members:
                self.members[peer["name"]].addresses = [ip_address(text) for text in peer["addresses"]]


def write_private(path: Path, text: str) -> None:
    """Write a file that only root may read."""
    path.touch(mode=0o600)
    path.write_text(text)


def token_in(output: str) -> str:
    """The enrollment token in what `isthmus peer create` or `isthmus peer token` printed."""
    paragraphs = output.split("\n\n")
    for before, token in itertools.pairwise(paragraphs):
        if before.startswith("Enrollment token"):
            return token.strip()
    raise LookupError("the command printed no enrollment token")


def served_with(host: Host, authority: Authority) -> dict[str, str]:
    """Put a certificate for a server of `host` there; returns the settings that name it."""
    certificate = authority.issue(host.ipv4, host.ipv6)
    folder = host.path("/etc/isthmus")
    write_private(folder / "server.key", certificate.key)
    (folder / "server.pem").write_text(certificate.certificate)
    return {"tls_certificate": "/etc/isthmus/server.pem", "tls_key": "/etc/isthmus/server.key"}
