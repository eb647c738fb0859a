"""People and kept answers in the store: read back as written, unique where they must be, searched by prefix."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.directory import User, Visibility
from isthmus.domain.federation.names import BackendDomain
from isthmus.server.directory_ports import AnswerKey, KeptAnswer
from isthmus.server.ports import Conflict, HandleTaken, Store
from isthmus.server.records import Page
from tests.builders import NOON

A, C = BackendDomain("a.example"), BackendDomain("c.example")
ALICE = User(UUID(int=1), "alice", "Alice Liddell", Visibility.SEARCH, NOON, {C: Visibility.NOBODY})
BOB = User(UUID(int=2), "bob", "", Visibility.HANDLE, NOON, {A: Visibility.SEARCH, C: Visibility.HANDLE}, version=7)
ZOE = User(UUID(int=3), "zoe", "ZOË 100%_", Visibility.SEARCH, NOON)
KEY = AnswerKey("a.example", 1, "handshake", "confirm", "key-1")


@pytest.fixture(autouse=True)
async def filled(store: Store) -> None:
    async with store.transaction() as tx:
        for user in (ALICE, BOB, ZOE):
            await tx.directory.add(user)


async def test_people_read_back_as_written_in_pages(store: Store) -> None:
    async with store.reading() as tx:
        assert await tx.directory.get(BOB.id) == BOB
        assert await tx.directory.with_handle("alice") == ALICE
        assert await tx.directory.with_handle("nobody") is None
        assert await tx.directory.page(Page(2)) == [ALICE, BOB]
        assert await tx.directory.page(Page(2, BOB.id)) == [ZOE]
        assert await tx.directory.page(Page(), "bob") == [BOB]
    after = replace(ALICE, handle="liddell", display_name="A", overrides={A: Visibility.NOBODY}, version=2)
    async with store.transaction() as tx:
        assert await tx.directory.lock(ALICE.id) == ALICE
        await tx.directory.save(after)
        await tx.directory.delete(BOB.id)
    async with store.reading() as tx:
        assert await tx.directory.page(Page()) == [after, ZOE]


async def test_a_handle_belongs_to_one_person(store: Store) -> None:
    with pytest.raises(HandleTaken):
        async with store.transaction() as tx:
            await tx.directory.add(replace(BOB, id=UUID(int=9)))
    with pytest.raises(HandleTaken):
        async with store.transaction() as tx:
            await tx.directory.save(replace(BOB, handle="alice"))


async def test_somebody_unknown_is_not_found(store: Store) -> None:
    async with store.transaction() as tx:
        for ask in (tx.directory.get, tx.directory.lock, tx.directory.delete):
            with pytest.raises(NotFound):
                await ask(UUID(int=404))
        with pytest.raises(NotFound):
            await tx.directory.save(replace(ALICE, id=UUID(int=404)))


@pytest.mark.parametrize(
    ("remote", "begins", "found"),
    [
        (A, "al", ["alice"]),
        (A, "AL", ["alice"]),
        (A, "lid", []),
        (A, "bo", ["bob"]),
        (A, "zoe", ["zoe"]),
        (A, "zoe\u0308", ["zoe"]),
        (A, "zo_", []),
        (A, "%%", []),
        (C, "al", []),
        (C, "bo", []),
        (C, "ZO", ["zoe"]),
        ("d.example", "bo", []),
    ],
)
async def test_a_search_finds_whom_the_remote_may_see(store: Store, remote: str, begins: str, found: list[str]) -> None:
    async with store.reading() as tx:
        users = await tx.directory.beginning_with(begins, BackendDomain(remote), 10)
    assert [user.handle for user in users] == found


async def test_a_search_ends_at_its_limit_in_order_of_handle(store: Store) -> None:
    async with store.transaction() as tx:
        for number in range(30, 10, -1):
            await tx.directory.add(User(UUID(int=number), f"many-{number}", "", Visibility.SEARCH, NOON))
    async with store.reading() as tx:
        users = await tx.directory.beginning_with("many", A, 3)
    assert [user.handle for user in users] == ["many-11", "many-12", "many-13"]


async def test_an_answer_is_kept_under_each_part_of_its_key(store: Store) -> None:
    kept = KeptAnswer(KEY, b"b" * 32, b'{"a": 1}', NOON)
    async with store.transaction() as tx:
        await tx.answers.add(kept)
    others = {"remote": "c.example", "generation": 2, "component": "grants", "rpc": "notice", "key": "key-2"}
    async with store.reading() as tx:
        assert await tx.answers.get(KEY) == kept
        for part, value in others.items():
            assert await tx.answers.get(replace(KEY, **{part: value})) is None  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await tx.answers.add(replace(kept, answer=b"other"))


async def test_old_answers_are_forgotten_a_bounded_number_at_a_time(store: Store) -> None:
    async with store.transaction() as tx:
        for number in range(5):
            at = NOON + timedelta(hours=number)
            await tx.answers.add(KeptAnswer(replace(KEY, key=str(number)), b"b" * 32, b"{}", at))
    async with store.transaction() as tx:
        assert await tx.answers.forget(NOON + timedelta(hours=4), 3) == 3
        assert await tx.answers.forget(NOON + timedelta(hours=4), 3) == 1
    async with store.reading() as tx:
        assert await tx.answers.get(replace(KEY, key="4")) is not None
