"""A mutation has one effect and one answer for each idempotency key, whatever is sent how often."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.domain.federation.denial import Denied
from isthmus.server.application.calls import Call
from isthmus.server.ports import Store, Transaction
from isthmus.server.records import Outcome, Page
from tests.adapters.components.backend import A, C, Sockets, a_remote, answering, changing, federated, registering
from tests.application.backend import BOTH_DATABASES
from tests.tables import contents


class Held:
    """An effect that lasts until it is let go, and then may fail."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.fails = False

    async def __call__(self, call: Call, tx: Transaction) -> None:
        self.began.set()
        await self.go.wait()
        if self.fails:
            raise Denied("validation_failed", "test")


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def sockets(store: Store, tmp_path: Path, held: Held) -> AsyncIterator[Sockets]:
    await federated(store, a_remote(A), a_remote(C))
    async with answering(store, tmp_path, registering(held)) as made:
        yield made


async def handles(store: Store) -> list[str]:
    async with store.reading() as tx:
        return sorted(user.handle for user in await tx.directory.page(Page()))


@BOTH_DATABASES
@pytest.mark.case("ADM-010")
async def test_a_key_gives_one_effect_and_one_answer(sockets: Sockets, store: Store, database_url: str) -> None:
    first = await sockets.ask(changing("bob"))
    (done,) = await sockets.rows()
    assert (first.status_code, done.outcome, done.action) == (200, Outcome.DONE, "handshake/confirm")
    before = await contents(database_url)
    again = await sockets.ask(changing("bob"))
    assert (again.status_code, again.content) == (200, first.content)
    assert await sockets.rows() == []
    await sockets.denied(await sockets.ask(changing("carol")), 422, "idempotency_conflict")
    await sockets.denied(await sockets.ask(changing("carol", None)), 400, "idempotency_key_required")
    await sockets.denied(await sockets.ask(changing("carol", "a b")), 400, "idempotency_key_required")
    assert await contents(database_url) == before
    assert (await sockets.ask(changing("carol", "key-2"))).status_code == 200
    assert await handles(store) == ["bob", "carol"]


@BOTH_DATABASES
@pytest.mark.case("ADM-010")
async def test_of_two_at_a_time_the_later_one_is_told_to_wait(sockets: Sockets, store: Store, held: Held) -> None:
    held.go.clear()
    first = asyncio.create_task(sockets.ask(changing()))
    await held.began.wait()
    second = asyncio.create_task(sockets.ask(changing()))
    # On SQLite its audit row waits for the transaction of the first.
    await asyncio.wait([second], timeout=0.5)
    held.go.set()
    answer, later = await asyncio.gather(first, second)
    assert (answer.status_code, later.status_code) == (200, 409)
    assert (later.json()["code"], later.json()["retryable"]) == ("idempotency_in_progress", True)
    assert (await sockets.ask(changing())).content == answer.content
    outcomes = sorted((row.outcome.value, row.reason) for row in await sockets.rows())
    assert outcomes == [("denied", "idempotency_in_progress"), ("done", None)]
    assert await handles(store) == ["bob"]


async def test_a_key_means_something_for_its_remote_alone(sockets: Sockets, store: Store) -> None:
    assert (await sockets.ask(changing("bob"))).status_code == 200
    assert (await sockets.ask(changing("carol", remote=C))).status_code == 200
    assert await handles(store) == ["bob", "carol"]


async def test_an_effect_that_was_refused_uses_no_key_up(sockets: Sockets, store: Store, held: Held) -> None:
    held.fails = True
    assert (await sockets.ask(changing())).status_code == 422
    assert await handles(store) == []
    held.fails = False
    assert (await sockets.ask(changing())).status_code == 200


@BOTH_DATABASES
async def test_an_answer_survives_the_process_that_gave_it(store: Store, tmp_path: Path) -> None:
    await federated(store, a_remote(A))
    async with answering(store, tmp_path / "one", registering()) as sockets:
        first = await sockets.ask(changing())
    async with answering(store, tmp_path / "two", registering()) as sockets:
        again = await sockets.ask(changing())
        assert (again.status_code, again.content) == (200, first.content)
        assert [row.outcome for row in await sockets.rows()] == [Outcome.DONE]
    assert await handles(store) == ["bob"]


@BOTH_DATABASES
async def test_of_two_processes_at_a_time_one_has_the_effect(store: Store, tmp_path: Path, held: Held) -> None:
    """Each knows only what it runs itself: between them the store decides."""
    await federated(store, a_remote(A))
    async with (
        answering(store, tmp_path / "one", registering()) as one,
        answering(store, tmp_path / "two", registering()) as two,
    ):
        answers = await asyncio.gather(*(each.ask(changing()) for each in (one, two, one, two)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert await handles(store) == ["bob"]
