"""The demo's second part: three organisations that share nothing but the network find each other and part again."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from isthmus.protocol.federation import API_VERSION, ORIGIN
from lab.arrows import arrows
from lab.errors import CommandFailed
from lab.lab import Lab
from lab.organisation import PORT, Organisation, federate
from lab.terminal import Terminal
from lab.waiting import wait_until
from lab.zone import NsdHost

FOLLOW_SECONDS = 15.0


@dataclass
class Diplomacy:
    """Three organisations, the name server that serves their zones, and what is told of them."""

    say: Terminal
    lab: Lab
    a: Organisation
    b: Organisation
    c: Organisation

    @property
    def all(self) -> tuple[Organisation, ...]:
        return self.a, self.b, self.c

    def close(self) -> None:
        for site in self.all:
            site.api.close()

    def logs(self) -> dict[str, str]:
        return {site.domain: site.log for site in self.all}

    def expects(self, holds: bool, text: str) -> None:
        """A fact if it holds, the end of the demo if not."""
        if not holds:
            raise AssertionError(f"this does not hold: {text}")
        self.say.fact(text)

    def refuses(self, site: Organisation, *command: str) -> str:
        """A command that must fail; returns what it said."""
        try:
            site.cli(*command)
        except CommandFailed as failure:
            self.say.command(site.host, ["isthmus", *command], failure.output)
            return failure.output
        raise AssertionError(f"`isthmus {' '.join(command)}` should have been refused at {site.domain}")


def assemble(say: Terminal, lab: Lab) -> Diplomacy:
    """Start the processes of all three at once."""
    names = NsdHost(lab)
    sites = [Organisation(names, name, watch=say.command) for name in ("a", "b", "c")]
    for site in sites:
        site.await_server()
    return Diplomacy(say, lab, *sites)


def initialise(diplomacy: Diplomacy) -> None:
    """Each organisation makes its CA and certificates, starts its ingress, and publishes the record that it is shown"""
    for site in diplomacy.all:
        site.init()
        diplomacy.say.fact(f"nginx of {site.domain} listens at {site.host.ipv4}:{PORT}, and nsd serves its zone")


def acquaint(diplomacy: Diplomacy) -> None:
    """Two operators: one invites, one accepts, both see the same short code and confirm it"""
    a, b = diplomacy.a, diplomacy.b
    code = federate(a, b)
    a.cli("remote", "list")
    diplomacy.say.fact(f"both see {code}; A and B are active to each other")
    federate(b, diplomacy.c)


def call(diplomacy: Diplomacy) -> None:
    """A user of A asks for alice@b.example: each arrow as it was seen on its way"""
    a, b = diplomacy.a, diplomacy.b
    b.cli("user", "create", "alice", "--name", "Alice Liddell")
    for site in (a, b):
        # What they said to each other before is in their memory: the names, and an open connection.
        site.restart("federator")
        wait_until(site.places.outward.is_socket, within=FOLLOW_SECONDS, what=f"the Federator of {site.domain}")
    for line in arrows(a, b, "alice"):
        diplomacy.say.fact(line)
    wait_until(partial(finds, a, "alice@b.example"), within=FOLLOW_SECONDS, what="an answer of B")
    a.cli("user", "lookup", "alice@b.example")


def finds(site: Organisation, handle: str) -> bool:
    return site.api.get("/directory/lookup", params={"handle": handle}).is_success


def impersonate(diplomacy: Diplomacy) -> None:
    """C, whom B knows well, says that it is A: a clear refusal, and a trace"""
    b, c = diplomacy.b, diplomacy.c
    before = newest_row(b)
    answer = speaks_as(c, b, "a.example")
    diplomacy.expects(answer.startswith("HTTP/1.1 403"), f"B answers {answer.splitlines()[0]}: federation_denied")
    wait_until(lambda: newest_row(b) != before, within=FOLLOW_SECONDS, what="the audit row")
    row = newest_row(b)
    diplomacy.expects(row["reason"] == "chain.other_remote", f"the audit log of B says why: {row['reason']}")
    answer = speaks_as(c, b, "c.example")
    diplomacy.expects("200 OK" in answer, "as c.example it gets its answer")


def newest_row(site: Organisation) -> dict[str, Any]:
    row: dict[str, Any] = site.api.get("/audit", params={"limit": 1}).raise_for_status().json()["items"][0]
    return row


def speaks_as(site: Organisation, other: Organisation, origin: str) -> str:
    """A call by hand, with the real certificate of `site`; returns the answer as it came."""
    body = json.dumps({"handle": "alice"})
    request = (
        "POST /federation/directory/get-user-by-handle HTTP/1.1\r\n"
        f"Host: {other.infra}:{PORT}\r\n{ORIGIN}: {origin}\r\n{API_VERSION}: 0\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    pair = "/var/lib/isthmus/federation/federator/current"
    where = ["-connect", f"{other.host.ipv4}:{PORT}", "-servername", other.infra]
    command = [
        "openssl",
        "s_client",
        "-quiet",
        "-ign_eof",
        *where,
        "-cert",
        f"{pair}/chain.pem",
        "-key",
        f"{pair}/key.pem",
    ]
    return site.host.run(command, input=request).stdout


def examine(diplomacy: Diplomacy) -> None:
    """Every link of the chain by name, and the mend for the one that is broken"""
    a, b = diplomacy.a, diplomacy.b
    a.cli("remote", "doctor", b.domain)
    b.host.run(["nft", "add table inet closed; add chain inet closed in { type filter hook input priority 0; };"
                f" add rule inet closed in tcp dport {PORT} reject with tcp reset"])  # fmt: skip
    said = diplomacy.refuses(a, "remote", "doctor", b.domain)
    diplomacy.expects("connect" in said.lower(), "with B's port closed the doctor names that link")
    b.host.run(["nft", "delete", "table", "inet", "closed"])


def suspend(diplomacy: Diplomacy) -> None:
    """B suspends A: cut at once, and A is told; then it goes on"""
    a, b = diplomacy.a, diplomacy.b
    b.cli("remote", "suspend", a.domain)
    diplomacy.refuses(a, "user", "lookup", "alice@b.example")
    wait_until(lambda: (a.remote(b) or {})["state_there"] == "suspended", within=FOLLOW_SECONDS, what="the notice")
    diplomacy.say.fact("A knows that B has suspended it")
    b.cli("remote", "resume", a.domain)
    wait_until(partial(finds, a, "alice@b.example"), within=FOLLOW_SECONDS, what="an answer of B")
    diplomacy.say.fact("A gets answers again")


def part(diplomacy: Diplomacy) -> None:
    """A ends it: nothing gets through in either direction, and a new handshake revives nothing"""
    a, b = diplomacy.a, diplomacy.b
    a.cli("remote", "revoke", b.domain, "--yes")
    diplomacy.refuses(b, "user", "lookup", f"alice@{a.domain}")
    b.await_remote(a, "revoked")
    diplomacy.say.fact("B has heard of it and has ended it as well")
    federate(b, a)
    remote = a.remote(b) or {}
    diplomacy.expects(remote["generation"] > 1, f"they federate anew, as generation {remote['generation']}")


def stop(diplomacy: Diplomacy) -> None:
    """All processes end in order: ingress, Federator, server"""
    for site in diplomacy.all:
        status = site.stop()
        diplomacy.expects(status == 0, f"{site.domain} has stopped")


STEPS = [initialise, acquaint, call, impersonate, examine, suspend, part, stop]
