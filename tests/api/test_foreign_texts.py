"""Texts by the API: each is kept as it is or refused with a row, and what is made of it is what it was made from."""

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest

from isthmus.wireguard.conf_reader import parse
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.foreign import HOSTILE
from tests.server import Server, running
from tests.x509.forge import an_authority

# What refusals themselves write, what was seen of agents, and how often a message was tried: no Federator is there.
LOGS = frozenset({"audit_log", "audit_links", "audit_seals", "backend", "reported_rows", "outbox"})
NUMBERS = itertools.count(20)
PLAIN = {
    "network domain": "plain.internal",
    "jump endpoint": "198.51.100.9:51820",
    "grant subject": "bob@b.example",
    "grant resource": "*",
    "infra domain of a remote": "infra.b.example",
    "infra domain": "infra.a.example",
    "invitation": "c.example",
    "template suffix": "plain.internal",
}
"""What a field takes where it does not take any word."""


class Site:
    """A server with one of everything that a text can be written to."""

    def __init__(self, server: Server, admin: httpx2.Client) -> None:
        self.server, self.admin = server, admin
        domain = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
        admin.post("/federation/init", json=domain).raise_for_status()
        roots = {"shared_roots": an_authority().pem.decode()}
        admin.patch("/federation", json=roots, headers={"If-Match": "*"}).raise_for_status()
        remote = {"domain": "b.example", "infra_domains": ["infra.b.example"]}
        admin.post("/remotes", json=remote).raise_for_status()
        self.network = a_network(admin, cidr_v4="10.91.0.0/24")
        self.jump = Agent.enrolled(server, a_peer(admin, self.network, kind="jump"))
        self.phone = a_peer(admin, self.network, kind="static")["peer"]
        body = {"network_id": self.network["id"], "name": "wiki", "address": self.phone["addresses"][0]}
        self.service = admin.post("/services", json=body | {"ports": ["443"]}).raise_for_status().json()

    @property
    def peers(self) -> str:
        return f"/networks/{self.network['id']}/peers"

    def tables(self) -> dict[str, list[Any]]:
        """All that is stored, but for what is noted of the refusals themselves."""
        with closing(sqlite3.connect(f"file:{self.server.data / 'isthmus.db'}?mode=ro", uri=True)) as database:
            names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found = {
                name: sorted(map(repr, database.execute(f'SELECT * FROM "{name}"')))  # noqa: S608  # out of the schema
                for name in names
                if name not in LOGS
            }
            return found | {"outbox": database.execute("SELECT lane, number, body FROM outbox").fetchall()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("texts")) as server, server.local() as admin:
        yield Site(server, admin)


Request = Callable[[Site, str], tuple[str, str, dict[str, Any]]]
REMOTE = "/remotes/b.example"
GRANT = {"subject": "bob@b.example", "kind": "network", "scopes": ["read"]}


def service(site: Site, **fields: str) -> dict[str, Any]:
    return {"network_id": site.network["id"], "address": site.phone["addresses"][0], "ports": ["1"]} | fields


# What is sent, and by which path the text is seen again.
FIELDS: dict[str, tuple[Request, str]] = {
    "network": (lambda s, t: ("POST", "/networks", {"name": t}), "/networks"),
    "network domain": (lambda s, t: ("POST", "/networks", {"name": a_name("net"), "domain": t}), "/networks"),
    "template": (lambda s, t: ("POST", "/network-templates", {"name": t}), "/network-templates"),
    "template suffix": (
        lambda s, t: ("POST", "/network-templates", {"name": a_name("small"), "domain_suffix": t}),
        "/network-templates",
    ),
    "peer": (lambda s, t: ("POST", s.peers, {"name": t}), "/peers"),
    "peer owner": (lambda s, t: ("POST", s.peers, {"name": a_name(), "owner": t}), "/peers"),
    "peer group": (lambda s, t: ("POST", s.peers, {"name": a_name(), "groups": [t]}), "/peers"),
    "peer label": (lambda s, t: ("POST", s.peers, {"name": a_name(), "labels": {"site": t}}), "/peers"),
    "name of a label": (lambda s, t: ("POST", s.peers, {"name": a_name(), "labels": {t: "north"}}), "/peers"),
    "jump endpoint": (lambda s, t: ("POST", s.peers, {"name": a_name(), "kind": "jump", "endpoint": t}), "/peers"),
    "reservation": (
        lambda s, t: (
            "POST",
            f"/networks/{s.network['id']}/reservations",
            {"address": f"10.91.0.{next(NUMBERS)}", "note": t},
        ),
        "/networks/{network}/reservations",
    ),
    "token": (lambda s, t: ("POST", "/tokens", {"name": t, "scopes": ["read"]}), "/tokens"),
    "account": (lambda s, t: ("POST", "/accounts", {"username": t, "role": "auditor"}), "/accounts"),
    "handle": (lambda s, t: ("POST", "/users", {"handle": t}), "/users"),
    "display name": (lambda s, t: ("POST", "/users", {"handle": a_name("ann"), "display_name": t}), "/users"),
    "service": (lambda s, t: ("POST", "/services", service(s, name=t)), "/services"),
    "service note": (lambda s, t: ("POST", "/services", service(s, name=a_name("web"), note=t)), "/services"),
    "grant subject": (lambda s, t: ("POST", "/grants", GRANT | {"subject": t}), "/grants"),
    "grant kind": (lambda s, t: ("POST", "/grants", GRANT | {"kind": t}), "/grants"),
    "grant note": (lambda s, t: ("POST", "/grants", GRANT | {"note": t}), "/grants"),
    "grant resource": (lambda s, t: ("POST", "/grants", GRANT | {"resource_id": t}), "/grants"),
    "infra domain": (lambda s, t: ("PATCH", "/federation", {"infra_domains": [t]}), "/federation"),
    "contact of a remote": (lambda s, t: ("PATCH", REMOTE, {"contact": t}), REMOTE),
    "notes on a remote": (lambda s, t: ("PATCH", REMOTE, {"notes": t}), REMOTE),
    "infra domain of a remote": (lambda s, t: ("PATCH", REMOTE, {"infra_domains": [t]}), REMOTE),
    "invitation": (lambda s, t: ("POST", "/remotes/invitations", {"domain": t}), "/remotes/invitations"),
}


def texts_in(found: Any) -> set[str]:
    if isinstance(found, dict):
        return {*found}.union(*map(texts_in, found.values()))
    if isinstance(found, list):
        return set().union(*map(texts_in, found))
    return {found} if isinstance(found, str) else set()


def send(site: Site, field: str, text: str) -> httpx2.Response:
    method, path, body = FIELDS[field][0](site, text)
    return site.admin.request(method, path, json=body, headers={"If-Match": "*"} if method == "PATCH" else {})


def shown(site: Site, field: str) -> set[str]:
    path = FIELDS[field][1].format(network=site.network["id"])
    return texts_in(
        site.admin.get(path, params={"limit": 1000} if path not in ("/federation", REMOTE) else {})
        .raise_for_status()
        .json()
    )


@pytest.mark.case("PATH-009")
@pytest.mark.parametrize("field", FIELDS)
def test_a_text_is_stored_as_it_is_or_refused_with_a_row_and_nothing_else(site: Site, field: str) -> None:
    for what, text in HOSTILE.items():
        before = site.tables()
        answer = send(site, field, text)
        if answer.is_success:
            assert text in shown(site, field), what
            continue
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), (what, answer.text)
        assert site.tables() == before, what
        rows = site.admin.get("/audit", params={"limit": 20}).raise_for_status().json()["items"]
        told = [row for row in rows if row["request_id"] == answer.json()["request_id"]]
        assert [(row["outcome"], row["reason"]) for row in told] == [("denied", "validation_failed")], what
    if field == "grant resource":
        plain = site.network["id"]
    else:
        plain = PLAIN.get(field, "service" if field == "grant kind" else a_name("plain"))
    assert send(site, field, plain).is_success, field
    assert plain in shown(site, field)


@pytest.mark.case("PATH-009")
def test_what_is_made_of_all_these_texts_is_what_it_was_made_from(site: Site) -> None:
    """After the test above, or by itself: some of every text that is taken."""
    for text in HOSTILE.values():
        for field in ("peer owner", "peer label", "display name", "service note", "grant note", "reservation"):
            send(site, field, text)
    peers = site.admin.get("/peers", params={"limit": 1000}).raise_for_status().json()["items"]
    taken = {peer["owner"] for peer in peers} | {peer["labels"].get("site") for peer in peers}
    assert HOSTILE["shell"] in taken
    told = site.jump.config().config
    assert told is not None
    assert {each.name for each in told.neighbours} <= {peer["name"] for peer in peers}
    for peer in (each for each in peers if each["network"] == site.network["name"]):
        revisions = f"/peers/{peer['id']}/config-revisions/{peer['desired_revision']}"
        config = site.admin.get(revisions).raise_for_status().json()
        conf = parse(config["text"])
        assert [str(each.ip) for each in conf.interface.addresses] == config["addresses"]
        assert [(str(each.public_key), [*map(str, each.allowed_ips)]) for each in conf.peers] == [
            (each["public_key"], each["allowed_ips"]) for each in config["neighbours"]
        ]
        lines = [line for line in config["text"].splitlines() if not line.startswith("#")]
        assert not [line for line in lines if "owned" in line or line.startswith(("Post", "Pre"))]


@pytest.mark.case("PATH-009")
def test_each_line_of_the_log_is_one_record_whatever_was_sent(site: Site) -> None:
    for text in HOSTILE.values():
        send(site, "peer owner", text)
        send(site, "handle", text)
    records = [json.loads(line) for line in site.server.log.splitlines()]
    assert not [each for each in records if each.get("event") == "forged"]
    with site.server.local() as local:
        assert local.get("/health/ready").status_code == 200
