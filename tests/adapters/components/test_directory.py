"""The component `directory`: what a remote sees of our people is what our own settings say, and no more."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from structlog.testing import capture_logs

from isthmus.domain.federation.directory import User, Visibility
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Strategy
from isthmus.server.application.directory import DirectoryComponent
from isthmus.server.ports import Store
from isthmus.server.records import Outcome
from tests.adapters.components.backend import INSTANCE, A, Asking, B, C, Sockets, a_remote, answering, federated
from tests.tables import contents

OURS = uuid4()
ALICE = User(uuid4(), "alice", "Alice", Visibility.NOBODY, datetime.now(UTC), {A: Visibility.HANDLE})
# What others would take for syntax is text.
ODD = User(
    uuid4(), "odd", "'; DROP TABLE users; --\\ {{ 7*7 }} $(reboot) PostUp = x", Visibility.SEARCH, ALICE.created_at
)


class OneInstance:
    def name_of(self, instance: UUID) -> str | None:
        return "federator" if instance == OURS else None


@pytest.fixture
async def sockets(store: Store, tmp_path: Path) -> AsyncIterator[Sockets]:
    await federated(store, a_remote(A), a_remote(C))
    async with store.transaction() as tx:
        await tx.directory.add(ALICE)
        await tx.directory.add(ODD)
    async with answering(store, tmp_path, {"directory": DirectoryComponent(OneInstance()).endpoints()}) as made:
        yield made


def by_handle(handle: str = "alice", remote: BackendDomain = A) -> Asking:
    return Asking("directory", "get-user-by-handle", {"handle": handle}, remote=remote)


def search(begins: str, remote: BackendDomain = A, **body: Any) -> Asking:
    return Asking("directory", "search-users", {"begins": begins, **body}, remote=remote)


@pytest.mark.case("AUTH-007")
async def test_a_defect_of_a_component_tells_its_id_and_the_log_the_rest(
    sockets: Sockets, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SELECT handle FROM directory_users")

    before = await contents(database_url)
    with monkeypatch.context() as fault, capture_logs() as logs:
        fault.setattr(User, "is_found_by_handle", fail)
        answer = await sockets.ask(by_handle())
    row = await sockets.denied(answer, 500, "internal")
    assert row.reason == "defect"
    assert not [word for word in ("SELECT", "RuntimeError", "Traceback", ".py") if word in answer.text + str(row)]
    (line,) = [line for line in logs if line["event"] == "a call broke"]
    assert line["request_id"] == row.request_id
    assert "directory_users" in str(line["exc_info"])
    assert await contents(database_url) == before
    assert (await sockets.ask(by_handle())).status_code == 200


@pytest.mark.case("SEED-042")
async def test_the_profile_is_qualified_by_our_domain(sockets: Sockets) -> None:
    answer = await sockets.ask(by_handle())
    assert answer.status_code == 200
    assert answer.json() == {"id": str(ALICE.id), "handle": "alice", "display_name": "Alice", "domain": B}
    assert await sockets.rows() == []


def without_id(answer: httpx2.Response) -> Any:
    """What is left of a problem without the ids of its request and the handle that was asked for."""
    document = answer.json()
    request_id = document.pop("request_id")
    assert document.pop("instance") == f"urn:uuid:{request_id}"
    headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status_code, headers, document


@pytest.mark.case("SEED-043")
async def test_whom_a_remote_may_not_see_is_like_nobody_to_it(
    sockets: Sockets, store: Store, database_url: str
) -> None:
    before = await contents(database_url)
    assert (await sockets.ask(by_handle(remote=A))).json()["id"] == str(ALICE.id)
    hidden = await sockets.ask(by_handle(remote=C))
    row = await sockets.denied(hidden, 404, "not_found")
    assert (row.actor, row.reason) == (f"remote:c.example/{INSTANCE}", "not_visible")
    assert await contents(database_url) == before
    async with store.transaction() as tx:
        await tx.directory.delete(ALICE.id)
    absent = await sockets.ask(by_handle(remote=C))
    row = await sockets.denied(absent, 404, "not_found")
    assert row.reason == "no_such_user"
    assert without_id(absent) == without_id(hidden)


async def test_a_search_tells_of_those_who_may_be_searched_for(sockets: Sockets, store: Store) -> None:
    assert (await sockets.ask(search("al"))).json() == {"users": []}
    async with store.transaction() as tx:
        await tx.directory.save(replace(ALICE, overrides={A: Visibility.SEARCH}))
    found = (await sockets.ask(search("al"))).json()["users"]
    assert [(user["handle"], user["domain"]) for user in found] == [("alice", B)]
    assert (await sockets.ask(search("al", C))).json() == {"users": []}
    assert [user["handle"] for user in (await sockets.ask(search("'; drop"))).json()["users"]] == ["odd"]


async def test_text_that_looks_like_syntax_arrives_as_it_was_written(sockets: Sockets) -> None:
    assert (await sockets.ask(by_handle("odd", C))).json()["display_name"] == ODD.display_name


async def test_the_row_of_a_refusal_names_the_request_on_both_sides(sockets: Sockets) -> None:
    ask = replace(by_handle("nobody"), sealed={"caller_request_id": "theirs-1"})
    answer = await sockets.ask(ask)
    row = await sockets.denied(answer, 404, "not_found")
    assert row.facts["caller_request_id"] == "theirs-1"
    assert (row.facts["source"], row.facts["network"], row.facts["origin"]) == ("192.0.2.7", "wan", A)
    assert row.facts["leaf"] == "f" * 64


async def test_an_instance_is_known_by_its_name(sockets: Sockets) -> None:
    ask = Asking("directory", "get-instance", {"instance": str(OURS)})
    assert (await sockets.ask(ask)).json() == {"instance": str(OURS), "name": "federator"}
    row = await sockets.denied(
        await sockets.ask(Asking("directory", "get-instance", {"instance": str(uuid4())})), 404, "not_found"
    )
    assert row.reason == "no_such_instance"


async def test_where_everybody_may_call_a_remote_without_entry_sees_what_all_see(
    sockets: Sockets, store: Store
) -> None:
    stranger = BackendDomain("d.example")
    ask = Asking("directory", "get-user-by-handle", {"handle": "odd"}, remote=stranger, sealed={"generation": 0})
    row = await sockets.denied(await sockets.ask(ask), 403, "federation_denied")
    assert (row.outcome, row.reason) == (Outcome.DENIED, "not_listed")
    async with store.transaction() as tx:
        await tx.federation.save(replace(await tx.federation.lock(), strategy=Strategy.ALL))
    assert (await sockets.ask(ask)).json()["handle"] == "odd"
    hidden = replace(ask, body={"handle": "alice"})
    assert (await sockets.ask(hidden)).status_code == 404
