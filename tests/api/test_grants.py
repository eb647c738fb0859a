"""Grants and bridges over the API and the CLI: what is stored, what is refused and where, and what that changes."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv6Network
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from isthmus.domain.federation.bridge import TRANSITIONS, Action, Bridge, Hold, Side, State, Terms
from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.db import open_store
from tests.api.agent import a_network
from tests.server import COMMAND, Server, clean_environment
from tests.trusting import B, a_bridge, a_statement, an_active_remote

INSTANCE = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
ANY = {"mode": "any", "entries": []}
BAD_ENTRIES: dict[str, list[Any]] = {
    "instances": [None, "", "*", 7, {}, "bob", f"{{{INSTANCE}}}", f"urn:uuid:{INSTANCE}", INSTANCE.replace("-", "")],
    "networks": [None, "", "*", [], "office", f"urn:uuid:{INSTANCE}", "wan"],
    "sources": [None, "", "*", 7, "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0", "fd00::/129", "fe80::%eth0/64", "office"],
}
BAD_FIELDS: list[tuple[str, Any]] = [
    ("/scopes/1", {"scopes": ["read", "everything"]}),
    ("/scopes", {"scopes": []}),
    ("/subject", {"subject": " "}),
    ("/subject", {"subject": "bob"}),
    ("/expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
]


class Granting:
    """A server with a network and the remote B, and ways to call it and to read what became of that."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder)
        self.server.start()
        with self.server.local() as local:
            body = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
            local.post("/federation/init", json=body).raise_for_status()
            self.network = a_network(local, name="office")
        self.filled([])
        self.client = self.server.local()

    def filled(self, bridges: list[Bridge]) -> None:
        """B and these bridges with it are in the store, which takes a moment in which the server is away."""

        async def fill() -> None:
            store = await open_store(f"sqlite:///{self.server.data / 'isthmus.db'}")
            async with store.transaction() as tx:
                if not await tx.remotes.all():
                    await tx.remotes.add(an_active_remote())
                for bridge in bridges:
                    await tx.bridges.add(bridge)
            await store.close()

        self.server.stop()
        asyncio.run(fill())
        self.server.start()

    def body(self, **fields: Any) -> dict[str, Any]:
        return {
            "subject": f"bob@{B}",
            "kind": "network",
            "resource_id": self.network["id"],
            "scopes": ["read"],
        } | fields

    def grant(self, **fields: Any) -> dict[str, Any]:
        answer = self.client.post("/grants", json=self.body(**fields))
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["grant"]
        return made

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = clean_environment({"socket": str(self.server.local_socket)})
        command = [str(COMMAND), *arguments, "--json"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def refused(self, answer: httpx2.Response, code: str) -> dict[str, Any]:
        """The problem, which is of this code and has one row in the log."""
        problem: dict[str, Any] = answer.json()
        assert problem["code"] == code, problem
        rows = self.client.get("/audit", params={"limit": 100}).json()["items"]
        (row,) = [each for each in rows if each["request_id"] == problem["request_id"]]
        assert (row["outcome"], row["reason"]) == ("denied", code)
        return problem


@pytest.fixture(scope="module")
def granting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granting]:
    made = Granting(tmp_path_factory.mktemp("granting"))
    yield made
    made.client.close()
    made.server.stop()


@pytest.mark.case("SEED-121", "GRANT-007")
def test_lists_are_stored_and_read_back_in_their_canonical_form(granting: Granting) -> None:
    network = str(granting.network["id"])
    lists = {
        "instances": [INSTANCE.upper()],
        "networks": [network.upper()],
        "sources": ["FD00:ABCD::/32", "10.1.0.0/16"],
    }
    expected = {
        "instances": {"mode": "list", "entries": [INSTANCE]},
        "networks": {"mode": "list", "entries": [network]},
        "sources": {"mode": "list", "entries": ["10.1.0.0/16", "fd00:abcd::/32"]},
    }
    made = granting.grant(**lists)
    read = granting.client.get(f"/grants/{made['id']}").json()
    (listed,) = [each for each in granting.client.get("/grants").json()["items"] if each["id"] == made["id"]]
    for each in (made, read, listed):
        assert {name: each[name] for name in expected} == expected
    changed = granting.client.patch(f"/grants/{made['id']}", json={"sources": ["192.0.2.0/24"], "instances": None})
    assert (changed.json()["instances"], changed.json()["sources"]["entries"]) == (ANY, ["192.0.2.0/24"])
    given = [
        "--instance",
        INSTANCE.upper(),
        "--network",
        "office",
        "--source",
        "FD00:ABCD::/32",
        "--source",
        "10.1.0.0/16",
    ]
    asked = ["--to", f"bob@{B}", "--kind", "network", "--resource", "office", "--scopes", "read"]
    by_cli = granting.cli("grant", "create", *asked, *given)
    assert by_cli.returncode == 0, by_cli.stderr
    assert {name: json.loads(by_cli.stdout)["grant"][name] for name in expected} == expected
    shown = json.loads(granting.cli("grant", "show", json.loads(by_cli.stdout)["grant"]["id"]).stdout)
    assert {name: shown[name] for name in expected} == expected


@pytest.mark.case("SEED-121", "GRANT-005", "GRANT-007")
@pytest.mark.parametrize("axis", list(BAD_ENTRIES))
def test_an_entry_that_is_none_is_refused_with_a_pointer_and_changes_nothing(granting: Granting, axis: str) -> None:
    present = granting.grant()
    for entry in BAD_ENTRIES[axis]:
        state = granting.client.get("/grants").json()
        made = granting.client.post("/grants", json=granting.body(**{axis: [entry]}))
        changed = granting.client.patch(f"/grants/{present['id']}", json={axis: [entry]})
        for answer in (made, changed):
            problem = granting.refused(answer, "validation_failed")
            assert problem["status"] == 422
            assert problem["errors"][0]["pointer"] == f"/{axis}/0"
        assert granting.client.get("/grants").json() == state
    values: list[Any] = ["x", {}, 7]
    for value in values:
        answer = granting.client.post("/grants", json=granting.body(**{axis: value}))
        assert granting.refused(answer, "validation_failed")["errors"][0]["pointer"] == f"/{axis}"


@pytest.mark.case("SEED-121")
@pytest.mark.parametrize(("pointer", "fields"), BAD_FIELDS)
def test_a_grant_that_makes_no_sense_is_refused_with_a_pointer(
    granting: Granting, pointer: str, fields: dict[str, Any]
) -> None:
    state = granting.client.get("/grants").json()
    answer = granting.client.post("/grants", json=granting.body(**fields))
    problem = granting.refused(answer, "validation_failed")
    assert (answer.status_code, problem["errors"][0]["pointer"]) == (422, pointer)
    assert granting.client.get("/grants").json() == state


@pytest.mark.case("SEED-121")
def test_the_cli_tells_which_entry_is_wrong(granting: Granting) -> None:
    asked = ["--to", f"bob@{B}", "--kind", "network", "--resource", "office", "--scopes", "read"]
    refused = granting.cli("grant", "create", *asked, "--source", "10.0.0.1/8")
    assert refused.returncode == 1
    assert "sources/0" in refused.stderr.replace(".", "/")


@pytest.mark.case("GRANT-007")
def test_other_spellings_of_an_id_find_the_same_or_nothing(granting: Granting) -> None:
    network = str(granting.network["id"])
    spellings = (network, network.upper(), f"{{{network}}}", f"urn:uuid:{network}")
    told = [granting.client.get("/bridge-status", params={"network_id": each}) for each in spellings]
    assert told[0].status_code == 200
    for spelling, answer in zip(spellings[1:], told[1:], strict=True):
        same = answer.status_code == 200 and answer.json() == told[0].json()
        assert same or (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), spelling
    for spelling in spellings:
        proposed = granting.client.post("/bridges", json={"remote": B, "network_id": spelling})
        if proposed.status_code == 422:
            assert proposed.json()["code"] == "validation_failed"
            continue
        made = proposed.json()
        assert (proposed.status_code, made["network"]["id"]) == (201, network), proposed.text
        granting.client.post(f"/bridges/{made['id']}/revoke", json={}).raise_for_status()


BRIDGES = {
    (state, by): UUID(int=5_000 + number) for number, (state, by) in enumerate(product(State, (Side.OURS, Side.THEIRS)))
}


def in_state(network: dict[str, Any], state: State, by: Side, number: int) -> Bridge:
    """A bridge of a network of ours, which is in `state` on both sides and was proposed `by` one of them."""
    now = datetime.now(UTC)
    holds = frozenset({Hold.OPERATOR} if state is State.SUSPENDED else ())
    bridge_id = BRIDGES[state, by]
    said = a_statement(state, bridge=bridge_id, generation=number)
    network_id, ours = NetworkId(UUID(network["id"])), Terms(network["name"], (IPv6Network(network["cidr_v6"]),))
    bare = a_bridge(network_id=network_id, state=state, proposed_by=by, theirs=said, ours=ours)
    bare = replace(bare, created_at=now, changed_at=now)
    accepted = said.terms.prefixes if state is not State.PROPOSED else ()
    return replace(bare, id=bridge_id, generation=number, holds=holds, accepted=accepted)


@pytest.fixture(scope="module")
def in_all_states(granting: Granting) -> Granting:
    bridges = []
    for number, (state, by) in enumerate(BRIDGES, start=10):
        network = a_network(granting.client, name=f"n{number}")
        bridges.append(in_state(network, state, by, number))
    granting.filled(bridges)
    return granting


def expected(state: State, by: Side, action: Action) -> State | None:
    """What an operator's action makes of our side; whoever proposed accepts nothing."""
    if action is Action.ACCEPT and by is Side.OURS:
        return None
    return TRANSITIONS.get((state, action))


DRAWN = (
    (State.PROPOSED, Side.THEIRS, Action.ACCEPT),
    (State.PROPOSED, Side.OURS, Action.REVOKE),
    (State.ACTIVE, Side.OURS, Action.SUSPEND),
    (State.ACTIVE, Side.THEIRS, Action.REVOKE),
    (State.SUSPENDED, Side.OURS, Action.RESUME),
    (State.SUSPENDED, Side.THEIRS, Action.REVOKE),
)


def act(of: Granting, bridge_id: UUID, action: Action) -> tuple[Any, httpx2.Response]:
    """The bridge before an operator's action, and the answer to that."""
    present = of.client.get(f"/bridges/{bridge_id}").json()
    body = {"reason": "a test"} | ({"network_id": present["network"]["id"]} if action is Action.ACCEPT else {})
    return present, of.client.post(f"/bridges/{bridge_id}/{action}", json=body)


@pytest.mark.case("BRIDGE-001")
def test_an_operator_makes_the_six_drawn_moves_and_no_other(in_all_states: Granting) -> None:
    for (state, by), action in product(BRIDGES, Action):
        if expected(state, by, action) is None:
            present, answer = act(in_all_states, BRIDGES[state, by], action)
            assert answer.status_code == 409, (state, by, action)
            in_all_states.refused(answer, "transition_not_allowed")
            assert in_all_states.client.get(f"/bridges/{BRIDGES[state, by]}").json() == present
            assert action not in present["moves"]
    assert {(state, action) for state, _, action in DRAWN} == set(TRANSITIONS)
    for state, by, action in DRAWN:
        present, answer = act(in_all_states, BRIDGES[state, by], action)
        assert (answer.status_code, answer.json()["state"]) == (200, TRANSITIONS[state, action]), answer.text
        assert action in present["moves"]


@pytest.mark.case("BRIDGE-001")
@pytest.mark.parametrize("action", Action)
def test_a_bridge_that_is_none_is_not_found(granting: Granting, action: Action) -> None:
    body = {"network_id": granting.network["id"]} if action is Action.ACCEPT else {}
    answer = granting.client.post(f"/bridges/{UUID(int=77)}/{action}", json=body)
    assert answer.status_code == 404
    granting.refused(answer, "not_found")
