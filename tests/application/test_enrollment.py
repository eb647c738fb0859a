"""Enrollment: one token, one agent; lifetimes; what ends a session."""

import asyncio
import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.domain.errors import EnrollmentTokenInvalid, InvalidValue, RateLimited, Refusal, Unauthenticated
from isthmus.domain.mesh.enrollment import LIFETIME, REPEAT_WINDOW
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application import peers, secrets
from isthmus.server.application.caller import Caller
from isthmus.server.application.enrollment import FAILURES_PER_SOURCE, WINDOW, Enrolled
from isthmus.server.ports import StoreUnavailable
from tests.application.backend import ADA, ANYONE, BOTH_DATABASES, Backend, a_public_key

SECOND = timedelta(seconds=1)


async def use(backend: Backend, token: str, key: str | None = None, caller: Caller = ANYONE) -> Enrolled:
    return await backend.enrollment.enroll(caller, token, key or a_public_key(), "host")


def text_of(created: peers.Created) -> str:
    assert created.token is not None
    return created.token.text


@pytest.mark.case("SEED-076")
async def test_a_thousand_peers_get_a_thousand_tokens_of_which_the_store_knows_a_hash(
    backend: Backend, tmp_path: Path
) -> None:
    network = await backend.network(cidr_v4="10.20.0.0/16")
    created = [await backend.created(network, f"peer-{number}") for number in range(1000)]
    tokens = {text_of(each): each.peer.id for each in created}
    assert len(tokens) == 1000
    for token in tokens:
        assert len(token.removeprefix("isthmus-enroll-")) >= 256 / 6, "base64 carries 6 bits a character"
    with contextlib.closing(sqlite3.connect(tmp_path / "isthmus.db")) as database:
        rows = database.execute("SELECT hex(digest), peer_id, expires_at FROM enrollment_tokens").fetchall()
        dump = "\n".join(database.iterdump())
    stored = {digest: (peer_id, expires_at) for digest, peer_id, expires_at in rows}
    expires_at = int((backend.clock.now() + LIFETIME).timestamp() * 1_000_000)
    assert stored == {
        secrets.digest_of(token).hex().upper(): (peer_id.hex, expires_at) for token, peer_id in tokens.items()
    }
    assert not any(token in dump for token in tokens)
    some = list(tokens)[::200]
    assert [(await use(backend, token)).peer.id for token in some] == [tokens[token] for token in some]


@BOTH_DATABASES
async def test_of_200_agents_with_one_token_one_enrolls(backend: Backend) -> None:
    network = await backend.network()
    token = text_of(await backend.created(network, "laptop"))
    results = await asyncio.gather(*(use(backend, token) for _ in range(200)), return_exceptions=True)
    (winner,) = [result for result in results if isinstance(result, Enrolled)]
    assert sum(isinstance(result, EnrollmentTokenInvalid) for result in results) == 199
    assert (await backend.peer_now(winner.peer.id)).public_key == winner.peer.public_key
    assert await backend.agents.authenticate(winner.session_token) == winner.peer.id
    assert [entry.action for entry in await backend.audit()].count("agent.enroll") == 1


async def test_a_token_lives_as_long_as_it_was_given(backend: Backend) -> None:
    network = await backend.network()
    ten = timedelta(minutes=10)
    early, late = [await backend.created(network, name, token_lifetime=ten) for name in ("early", "late")]
    backend.clock.turn(timedelta(minutes=9))
    await use(backend, text_of(early))
    backend.clock.turn(timedelta(minutes=2))
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, text_of(late))


@pytest.mark.parametrize("lifetime", [timedelta(seconds=59), timedelta(days=31), timedelta(0)])
async def test_a_lifetime_outside_a_minute_and_a_month_is_refused(backend: Backend, lifetime: timedelta) -> None:
    network = await backend.network()
    peer = await backend.peer(network, "one")
    for attempt in (
        backend.created(network, "two", token_lifetime=lifetime),
        backend.peers.new_token(ADA, peer.id, lifetime),
    ):
        with pytest.raises(InvalidValue):
            await attempt


async def test_a_lost_answer_may_be_asked_for_again_by_the_same_key_for_ten_minutes(backend: Backend) -> None:
    network = await backend.network()
    token, key = text_of(await backend.created(network, "laptop")), a_public_key()
    first = await use(backend, token, key)
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, token)
    backend.clock.turn(REPEAT_WINDOW - SECOND)
    second = await use(backend, token, key)
    assert (second.peer, second.network) == (first.peer, first.network)
    assert await backend.agents.authenticate(second.session_token) == first.peer.id
    with pytest.raises(Unauthenticated):
        await backend.agents.authenticate(first.session_token)
    backend.clock.turn(SECOND)
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, token, key)


async def test_a_new_token_ends_the_old_one_but_not_the_session(backend: Backend) -> None:
    network = await backend.network()
    created = await backend.created(network, "laptop")
    await backend.peers.new_token(ADA, created.peer.id)
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, text_of(created))
    token = await backend.peers.new_token(ADA, created.peer.id)
    session = (await use(backend, token.text)).session_token
    newer = await backend.peers.new_token(ADA, created.peer.id)
    assert await backend.agents.authenticate(session) == created.peer.id
    again = await use(backend, newer.text)
    assert again.peer.public_key != created.peer.public_key
    with pytest.raises(Unauthenticated):
        await backend.agents.authenticate(session)


async def test_deleting_a_peer_ends_its_token_and_its_session(backend: Backend) -> None:
    network = await backend.network()
    waiting = await backend.created(network, "waiting")
    live = await backend.enroll(await backend.created(network, "live"))
    other = await backend.enroll(await backend.created(network, "other"))
    for peer_id in (waiting.peer.id, live.peer.id):
        await backend.peers.delete(ADA, peer_id, None, force=False)
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, text_of(waiting))
    with pytest.raises(Unauthenticated):
        await backend.agents.authenticate(live.session_token)
    assert await backend.agents.authenticate(other.session_token) == other.peer.id


async def test_a_source_that_guesses_is_slowed_down_and_the_rightful_agent_beside_it_is_not(backend: Backend) -> None:
    network = await backend.network()
    token = text_of(await backend.created(network, "laptop"))
    for number in range(FAILURES_PER_SOURCE):
        with pytest.raises(EnrollmentTokenInvalid):
            await use(backend, f"isthmus-enroll-{number}")
    with pytest.raises(RateLimited) as limited:
        await use(backend, "isthmus-enroll-more")
    assert 0 < limited.value.retry_after <= WINDOW.total_seconds() + 1
    elsewhere = Caller("anyone", "request", "192.0.2.99")
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, "isthmus-enroll-more", caller=elsewhere)
    await use(backend, token)
    backend.clock.turn(WINDOW)
    with pytest.raises(EnrollmentTokenInvalid):
        await use(backend, "isthmus-enroll-more")


@BOTH_DATABASES
async def test_an_enrollment_keeps_what_an_operator_changes_at_the_same_moment(backend: Backend) -> None:
    network = await backend.network()
    for number in range(10):
        created = await backend.created(network, f"peer-{number}")
        enrolled, _ = await asyncio.gather(
            use(backend, text_of(created)),
            backend.peers.update(ADA, created.peer.id, peers.Update(owner="ada", isolated=True), None),
        )
        peer = await backend.peer_now(created.peer.id)
        assert (peer.public_key, peer.owner, peer.isolated) == (enrolled.peer.public_key, "ada", True)


@BOTH_DATABASES
async def test_an_enrollment_and_the_deletion_of_its_peer_end_in_one_of_two_ways(backend: Backend) -> None:
    network = await backend.network()
    await backend.peer(network, "gw", Kind.JUMP)
    for number in range(10):
        created = await backend.created(network, f"peer-{number}")
        enrolled, deleted = await asyncio.gather(
            use(backend, text_of(created)),
            backend.peers.delete(ADA, created.peer.id, None, force=False),
            return_exceptions=True,
        )
        assert not isinstance(deleted, StoreUnavailable), "a deadlock"
        assert deleted is None
        assert isinstance(enrolled, Enrolled | EnrollmentTokenInvalid), repr(enrolled)
        if isinstance(enrolled, Enrolled):
            with pytest.raises(Refusal):
                await backend.agents.authenticate(enrolled.session_token)
