"""The audit log by API: its chain, its filters, and that no secret ever comes near it."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, select

from isthmus.server.adapters.db.tables import metadata
from lab.waiting import wait_until
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.server import Server
from tests.tables import on_connection

MARK = "c0ffee5ec2e7"
"""What is sent where a secret belongs, so that it is found wherever it went."""


@pytest.fixture(scope="module")
def owner(either_server: Server) -> Iterator[httpx2.Client]:
    with either_server.client(either_server.token("read", "write", "admin")) as client:
        yield client


def pages(client: httpx2.Client, **query: Any) -> Iterator[Any]:
    while True:
        page = client.get("/audit", params=query).raise_for_status().json()
        yield from page["items"]
        if page["next"] is None:
            return
        query["before" if "after" not in query else "after"] = page["next"]


def test_rows_are_linked_within_a_moment_and_listed_both_ways(owner: httpx2.Client) -> None:
    network = a_network(owner)

    def is_linked() -> bool:
        chain = owner.get("/audit/chain").json()
        return bool(chain["linked"] == chain["last"])

    wait_until(is_linked, within=20, what="the rows are linked")
    back = list(pages(owner, limit=7))
    forth = list(pages(owner, limit=7, after=0))
    assert [row["number"] for row in forth] == list(range(1, len(forth) + 1))
    assert {row["number"]: row for row in back}.items() <= {row["number"]: row for row in forth}.items()
    (created,) = pages(owner, action="network.create", subject=network["id"])
    assert len(created["hash"]) == 64
    assert list(pages(owner, action="network.create", outcome="denied")) == []
    assert list(pages(owner, until="2020-01-01T00:00:00Z")) == []
    assert len(list(pages(owner, since="2020-01-01T00:00:00Z", after=0))) >= len(forth)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"before": 3, "after": 3}, "/after"),
        ({"outcome": "perhaps"}, "/outcome"),
        ({"since": "yesterday"}, "/since"),
        ({"since": "2026-03-02T12:00:00"}, "/since"),
        ({"actor": "a\x00"}, "/actor"),
        ({"who": "me"}, "/who"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(owner: httpx2.Client, query: dict[str, Any], pointer: str) -> None:
    answer = owner.get("/audit", params=query)
    assert answer.status_code == 422
    assert pointer in answer.text


@pytest.mark.case("SEED-108")
async def test_no_secret_comes_into_rows_database_or_log(either_server: Server, owner: httpx2.Client) -> None:
    secrets = [MARK, *use_secrets(either_server, owner)]
    # The password is another one now, and so all tokens have ended.
    with either_server.local() as local:
        rows = json.dumps(list(pages(local, limit=500)))
        answers = local.get("/audit/chain").text + local.get("/audit/seals").text
    stored = await on_connection(either_server.settings.get("database_url", sqlite_of(either_server)), everything)
    places = {"rows": rows, "database": stored, "log": either_server.log, "answers": answers}
    for name, place in places.items():
        for secret in secrets:
            assert secret not in place, f"{name} hold {secret[:20]}"
    for benign in ("account.password", "token.create", "invitation.create"):
        assert benign in rows, benign


def use_secrets(server: Server, owner: httpx2.Client) -> list[str]:
    """Do what there is to do with secrets, well and badly; returns those that the server made."""
    network = a_network(owner, cidr_v4=None)
    dynamic, static = a_peer(owner, network), a_peer(owner, network, kind="static")
    agent = Agent.enrolled(server, dynamic)
    token = (
        owner.post("/tokens", json={"name": a_name(MARK[:6]), "scopes": ["read"]}).raise_for_status().json()["token"]
    )
    made = [dynamic["enrollment"]["token"], agent.session, token, private_key_of(static["config"]["text"])]
    made.append(base64.b64decode(made[-1]).hex())
    with server.local() as local:
        names = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
        local.post("/federation/init", json=names).raise_for_status()
        invited = local.post("/remotes/invitations", json={"domain": "b.example"}).raise_for_status().json()
        made += [part for part in invited["text"].split() if len(part) > 30]
        new = f"{MARK}-a-long-password"
        made.append(
            local.post("/auth/password/reset", json={"username": "admin"}).raise_for_status().json()["password"]
        )
        local.post("/auth/login", json={"username": "admin", "password": new})
        local.post("/remotes/accept", json={"invitation": f"isthmus-invite-{MARK}"})
    for wrong in (f"isthmus-api-{MARK}", f"isthmus-session-{MARK}", MARK):
        with server.client(wrong) as stranger:
            stranger.get("/networks")
            stranger.post("/agent/heartbeat", json={"nonce": MARK})
    with server.client() as stranger:
        stranger.post("/agent/enroll", json={"token": f"isthmus-enroll-{MARK}", "public_key": MARK})
    owner.post(f"/networks/{network['id']}/peers", json={"name": "x", "private_key": MARK})
    owner.post("/networks", content=MARK)
    return made


def private_key_of(config: str) -> str:
    return next(line.partition("=")[2].strip() for line in config.splitlines() if line.startswith("PrivateKey"))


def sqlite_of(server: Server) -> str:
    return f"sqlite:///{server.data / 'isthmus.db'}"


def everything(connection: Connection) -> str:
    """All rows of all tables, as text."""
    found = [connection.execute(select(table)).all() for table in metadata.sorted_tables]
    return repr(found)
