"""Accounts and API tokens: signing in, guessing, lifetimes, scopes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from isthmus.domain.accounts import ALL_SCOPES
from isthmus.domain.errors import Forbidden, InvalidValue, NotFound, RateLimited, Unauthenticated
from isthmus.domain.ids import ApiTokenId
from isthmus.server.application.accounts import FAILURES_PER_USER, LOGIN_LIFETIME, WINDOW
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
    for _ in range(FAILURES_PER_USER):
        with pytest.raises(Unauthenticated):
            await backend.accounts.login(ANYONE, "admin", "wrong")
    with pytest.raises(RateLimited) as limited:
        await backend.accounts.login(ANYONE, "admin", password)
    assert 0 < limited.value.retry_after <= WINDOW.total_seconds() + 1
    with pytest.raises(Unauthenticated):
        await backend.accounts.login(ANYONE, "somebody-else", "wrong")
    backend.clock.turn(WINDOW)
    await backend.accounts.login(ANYONE, "admin", password)


async def test_a_success_forgets_the_failures_before_it(backend: Backend, password: str) -> None:
    for _ in range(2):
        for _ in range(FAILURES_PER_USER - 1):
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
