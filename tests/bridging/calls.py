"""Calls of B to the component `resources` of A: over the bridge by hand, or through B's own Federator."""

import json
from typing import Any
from uuid import uuid4

from isthmus.protocol.federation import API_VERSION, ORIGIN
from lab.alliance import Alliance
from lab.mesh import Member
from lab.organisation import PORT as INGRESS_PORT
from tests.federation.party import over_socket
from tests.federation.wire import Answer, Connection, Credential, client_context, request

LEAF = "/var/lib/isthmus-agent/instance/current"
JSON = "application/json"
Headers = list[tuple[str, str]]


def leaf_of(member: Member) -> Credential:
    """The pair of the instance on a member's host."""
    folder = member.host.path(LEAF)
    return Credential((folder / "chain.pem").read_bytes(), (folder / "key.pem").read_bytes())


def bearer(token: str | None) -> Headers:
    return [] if token is None else [("Authorization", f"Bearer {token}")]


def wanted(alliance: Alliance, kind: str = "service", resource: str | None = None) -> bytes:
    """The body of a call for one resource, by default the service `wiki`."""
    return json.dumps({"kind": kind, "id": resource or alliance.service("wiki")["id"]}).encode()


def connect(alliance: Alliance, member: Member, *, wan: bool = False, sni: str = "") -> Connection:
    """A connection from a member of B to A's ingress inside the network, or to the one for everybody. It shows the
    leaf of the instance there."""
    address = alliance.a.site.host.ipv4 if wan else alliance.a.home.ipv6
    raw = member.host.connect(address, INGRESS_PORT)
    return Connection(raw, client_context(leaf_of(member)), sni or alliance.a.site.infra)


def line_of(alliance: Alliance, rpc: str, body: bytes, more: Headers) -> bytes:
    headers = [
        ("Host", f"{alliance.a.site.infra}:{INGRESS_PORT}"),
        (ORIGIN, alliance.b.domain),
        (API_VERSION, "0"),
        ("Content-Type", JSON),
    ]
    return request("POST", f"/federation/resources/{rpc}", headers=[*headers, *more], body=body)


def asks(alliance: Alliance, member: Member, token: str | None, *, more: Headers | None = None, **how: Any) -> Answer:
    """`resources/get` for the wiki, over a connection of its own; `body` may be another one."""
    body = how.pop("body", None) or wanted(alliance)
    with connect(alliance, member, **how) as connection:
        return connection.ask(line_of(alliance, "get", body, [*bearer(token), *(more or [])]))


def through_the_federator(
    alliance: Alliance, token: str | None, rpc: str = "get", body: bytes | None = None, more: Headers | None = None
) -> Answer:
    """The same as a component of B makes it."""
    headers = [("Host", "federator"), ("Content-Type", JSON), *bearer(token), *(more or [])]
    data = request("POST", f"/rpc/{alliance.a.domain}/resources/{rpc}", headers=headers, body=body or wanted(alliance))
    return over_socket(alliance.b.site.places.outward, data)


def once() -> Headers:
    """A key for a mutation."""
    return [("Idempotency-Key", str(uuid4()))]
