"""People with accounts, as an owner makes them, and what they sign in to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

from tests.api.agent import a_name
from tests.server import Server


@dataclass(frozen=True, slots=True)
class Person:
    """An account, its password and a token of twelve hours."""

    id: str
    name: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def an_account(server: Server, role: str, networks: Sequence[str] = ()) -> Person:
    body = {"username": a_name(role.replace("_", "-")), "role": role, "networks": list(networks)}
    with server.local() as owner:
        made = owner.post("/accounts", json=body).raise_for_status().json()
    account, password = made["account"], made["password"]
    with server.client() as client:
        token = sign_in(client, account["name"], password).json()["token"]
    return Person(account["id"], account["name"], password, token)


def sign_in(client: httpx2.Client, name: str, password: str) -> httpx2.Response:
    return client.post("/auth/login", json={"username": name, "password": password}).raise_for_status()
