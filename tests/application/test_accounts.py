"""Accounts and API tokens: signing in, guessing, lifetimes, scopes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from isthmus.domain.accounts import ALL_SCOPES, Role
from isthmus.domain.errors import Forbidden, InvalidValue, NotFound, RateLimited, Unauthenticated
from isthmus.domain.ids import ApiTokenId
from isthmus.server.application.account_book import Draft
from isthmus.server.application.accounts import LOGIN_LIFETIME
from isthmus.server.application.attempts import PER_NAME, PER_NAME_AND_PLACE, PER_PLACE, WINDOW
from isthmus.server.application.caller import Caller
from isthmus.server.records import User
from tests.application.backend import ADA, ALL, ANYONE, Backend

LOCAL = Caller("local", "start", scopes=ALL_SCOPES)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def password(backend: Backend) -> str:
    """The administrator's."""
    made = await backend.accounts.first_admin(LOCAL)
    assert made is not None
    return made


async def sign_in(backend: Backend, password: str) -> Caller:
    user, issued = await backend.accounts.login(ANYONE, "admin", password)
    return signed_in(user, issued.token.id)


def signed_in(user: User, token_id: ApiTokenId) -> Caller:
    return replace(ADA, actor=f"user:{user.name}", user_id=user.id, token_id=token_id)


async def test_the_first_start_makes_the_administrator_and_the_second_does_not(backend: Backend, password: str) -> None:
    assert await backend.accounts.first_admin(LOCAL) is None
    user, issued = await backend.accounts.login(ANYONE, "admin", password)
    assert await backend.accounts.authenticate(issued.text) == (issued.token, user)


async def test_a_login_ends_after_twelve_hours(backend: Backend, password: str) -> None:
    _, issued = await backend.accounts.login(ANYONE, "admin", password)
    backend.clock.turn(LOGIN_LIFETIME - SECOND)
    await backend.accounts.authenticate(issued.text)
    backend.clock.turn(SECOND)
    with pytest.raises(Unauthenticated):
        await backend.accounts.authenticate(issued.text)


async def test_guessing_a_password_is_slowed_down_even_for_the_right_one(backend: Backend, password: str) -> None:
    for _ in range(PER_NAME_AND_PLACE):
        with pytest.raises(Unauthenticated):
            await backend.accounts.login(ANYONE, "admin", "wrong")
    with pytest.raises(RateLimited) as limited:
        await backend.accounts.login(ANYONE, "admin", password)
    assert 0 < limited.value.retry_after <= WINDOW.total_seconds() + 1
    with pytest.raises(Unauthenticated):
        await backend.accounts.login(ANYONE, "somebody-else", "wrong")
    backend.clock.turn(WINDOW)
    await backend.accounts.login(ANYONE, "admin", password)


async def guess(backend: Backend, name: str, source: str) -> int:
    """One wrong password; returns the seconds to wait, 0 for none."""
    try:
        await backend.accounts.login(replace(ANYONE, source=source), name, "wrong")
    except RateLimited as limited:
        return limited.retry_after
    except Unauthenticated:
        return 0
    raise AssertionError("a wrong password let somebody in")


async def test_guesses_from_many_places_are_slowed_down_and_lock_out_nobody_who_was_here_before(
    backend: Backend, password: str
) -> None:
    home = replace(ANYONE, source="192.0.2.1")
    await backend.accounts.login(home, "admin", password)
    waits = [await guess(backend, "admin", f"198.51.100.{number % 200}") for number in range(PER_NAME + 5)]
    assert [wait > 0 for wait in waits] == [False] * PER_NAME + [True] * 5
    # A stranger who has the password waits too: nobody can tell them apart. At home it still opens.
    with pytest.raises(RateLimited):
        await backend.accounts.login(replace(ANYONE, source="203.0.113.9"), "admin", password)
    await backend.accounts.login(home, "admin", password)
    backend.clock.turn(WINDOW)
    await backend.accounts.login(replace(ANYONE, source="203.0.113.9"), "admin", password)


async def test_guesses_at_many_names_from_one_place_are_slowed_down_a_network_of_ipv6_being_one(
    backend: Backend, password: str
) -> None:
    sources = [f"2001:db8::{number:x}" for number in range(1, PER_PLACE + 2)]
    waits = [await guess(backend, f"name-{source[10:]}", source) for source in sources]
    assert [wait > 0 for wait in waits] == [False] * PER_PLACE + [True]
    assert await guess(backend, "name", "2001:db8:0:1::1") == 0


async def test_who_gets_in_counts_as_no_guess(backend: Backend, password: str) -> None:
    for number in range(PER_PLACE + 5):
        made = await backend.account_book.create(ADA, Draft(f"user-{number}", Role.AUDITOR))
        await backend.accounts.login(replace(ANYONE, source="192.0.2.1"), made.user.name, made.password)


async def test_a_success_forgets_the_failures_before_it(backend: Backend, password: str) -> None:
    for _ in range(2):
        for _ in range(PER_NAME_AND_PLACE - 1):
            with pytest.raises(Unauthenticated):
                await backend.accounts.login(ANYONE, "admin", "wrong")
        await backend.accounts.login(ANYONE, "admin", password)


async def test_unknown_users_and_wrong_passwords_get_one_answer(backend: Backend, password: str) -> None:
    answers = set()
    for name in ("admin", "nobody"):
        with pytest.raises(Unauthenticated) as refused:
            await backend.accounts.login(ANYONE, name, "wrong")
        answers.add(str(refused.value))
    assert len(answers) == 1


async def test_a_new_password_ends_all_tokens(backend: Backend, password: str) -> None:
    _, issued = await backend.accounts.login(ANYONE, "admin", password)
    caller = await sign_in(backend, password)
    with pytest.raises(InvalidValue):
        await backend.accounts.change_password(caller, "wrong", "a new long password")
    with pytest.raises(InvalidValue):
        await backend.accounts.change_password(caller, password, "short")
    await backend.accounts.change_password(caller, password, "a new long password")
    with pytest.raises(Unauthenticated):
        await backend.accounts.authenticate(issued.text)
    with pytest.raises(Unauthenticated):
        await backend.accounts.login(ANYONE, "admin", password)
    await sign_in(backend, "a new long password")


async def test_a_reset_password_is_random_and_ends_all_tokens(backend: Backend, password: str) -> None:
    _, issued = await backend.accounts.login(ANYONE, "admin", password)
    fresh = await backend.accounts.reset_password(LOCAL, "admin")
    assert fresh != password
    with pytest.raises(Unauthenticated):
        await backend.accounts.authenticate(issued.text)
    await sign_in(backend, fresh)
    with pytest.raises(InvalidValue):
        await backend.accounts.reset_password(LOCAL, "nobody")


async def test_a_token_has_no_scope_that_its_maker_lacks(backend: Backend, password: str) -> None:
    caller = await sign_in(backend, password)
    reader = replace(caller, scopes=frozenset({"read", "admin"}))
    with pytest.raises(Forbidden):
        await backend.accounts.create_token(reader, "ci", frozenset({"read", "write"}), None)
    issued = await backend.accounts.create_token(caller, "ci", frozenset({"read"}), timedelta(hours=1))
    token, _ = await backend.accounts.authenticate(issued.text)
    assert token.scopes == {"read"}
    backend.clock.turn(timedelta(hours=1))
    with pytest.raises(Unauthenticated):
        await backend.accounts.authenticate(issued.text)


async def test_a_deleted_token_is_over_at_once(backend: Backend, password: str) -> None:
    caller = await sign_in(backend, password)
    issued = await backend.accounts.create_token(caller, "ci", frozenset({"read"}), None)
    assert issued.token.id in {token.id for token in await backend.accounts.tokens(LOCAL, ALL)}
    await backend.accounts.delete_token(caller, issued.token.id)
    with pytest.raises(Unauthenticated):
        await backend.accounts.authenticate(issued.text)
    with pytest.raises(NotFound):
        await backend.accounts.delete_token(caller, issued.token.id)


async def test_the_store_shows_when_a_token_was_last_used(backend: Backend, password: str) -> None:
    _, issued = await backend.accounts.login(ANYONE, "admin", password)
    backend.clock.turn(timedelta(minutes=2))
    await backend.accounts.authenticate(issued.text)
    (token,) = await backend.accounts.tokens(LOCAL, ALL)
    assert token.last_used_at == backend.clock.now()
