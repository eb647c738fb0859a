"""Sessions: fresh tokens in the place of old ones, lost answers, and the end by an operator."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.domain.errors import NotFound, TransitionNotAllowed, Unauthenticated
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.enrollment import ROTATE_AFTER, TAKE_OVER
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application.enrollment import Enrolled
from isthmus.server.ports import Store
from tests.application.backend import ADA, BOTH_DATABASES, Backend
from tests.application.test_audit import content_of


async def an_agent(backend: Backend, name: str = "laptop") -> Enrolled:
    """An agent whose session is as old as a token gets, and which the server has just seen."""
    enrolled = await backend.enroll(await backend.created(await backend.network(f"net-{name}", None), name))
    backend.clock.turn(ROTATE_AFTER)
    assert await backend.sessions.peer_of(enrolled.session_token) == enrolled.peer.id
    return enrolled


async def renewed(backend: Backend, peer_id: PeerId) -> str:
    token = await backend.sessions.renewed(peer_id)
    assert token is not None
    return token


async def tokens(backend: Backend, peer_id: PeerId) -> int:
    return len((await backend.sessions.of_peers([peer_id])).get(peer_id, []))


async def is_refused(backend: Backend, token: str) -> bool:
    try:
        await backend.sessions.peer_of(token)
    except Unauthenticated:
        return True
    return False


@BOTH_DATABASES
async def test_the_old_token_is_good_until_the_fresh_one_was_presented(backend: Backend) -> None:
    agent = await an_agent(backend)
    old, fresh = agent.session_token, await renewed(backend, agent.peer.id)
    assert fresh != old
    assert not await is_refused(backend, old)
    assert await tokens(backend, agent.peer.id) == 2

    assert await backend.sessions.peer_of(fresh) == agent.peer.id
    assert await is_refused(backend, old)
    assert await tokens(backend, agent.peer.id) == 1
    assert not await is_refused(backend, fresh)
    # The standing is the old one, and its token is young.
    ((session,),) = (await backend.sessions.of_peers([agent.peer.id])).values()
    assert (session.created_at, session.rotated_at) == (agent.at, backend.clock.now())
    assert await backend.sessions.renewed(agent.peer.id) is None


async def test_a_token_is_renewed_when_it_is_old_and_not_before(backend: Backend) -> None:
    enrolled = await backend.enroll(await backend.created(await backend.network(), "laptop"))
    await backend.sessions.peer_of(enrolled.session_token)
    backend.clock.turn(ROTATE_AFTER - timedelta(seconds=1))
    assert await backend.sessions.renewed(enrolled.peer.id) is None
    assert not backend.sessions.is_due(enrolled.peer.id)
    backend.clock.turn(timedelta(seconds=1))
    assert backend.sessions.is_due(enrolled.peer.id)
    await renewed(backend, enrolled.peer.id)


async def test_lost_answers_lock_nobody_out_and_leave_two_tokens_at_most(backend: Backend) -> None:
    agent = await an_agent(backend)
    lost = []
    for _ in range(5):
        lost.append(await renewed(backend, agent.peer.id))
        # Whoever was told a moment ago may be about to present it.
        assert await backend.sessions.renewed(agent.peer.id) is None
        backend.clock.turn(TAKE_OVER)
        assert await tokens(backend, agent.peer.id) == 2
        assert not await is_refused(backend, agent.session_token)
    fresh = lost.pop()
    for token in lost:
        assert await is_refused(backend, token)
    assert await backend.sessions.peer_of(fresh) == agent.peer.id
    assert await is_refused(backend, agent.session_token)


async def test_who_was_away_for_a_month_is_known_and_gets_a_fresh_token(backend: Backend) -> None:
    agent = await an_agent(backend)
    fresh = await renewed(backend, agent.peer.id)
    backend.clock.turn(timedelta(days=30))
    assert await backend.sessions.peer_of(fresh) == agent.peer.id
    again = await renewed(backend, agent.peer.id)
    assert await backend.sessions.peer_of(again) == agent.peer.id
    assert await is_refused(backend, fresh)


async def test_a_server_that_starts_anew_knows_both_tokens(backend: Backend, store: Store, tmp_path: Path) -> None:
    agent = await an_agent(backend)
    fresh = await renewed(backend, agent.peer.id)
    later = Backend(store, tmp_path)
    later.clock.time = backend.clock.now()
    assert await later.sessions.peer_of(agent.session_token) == agent.peer.id
    assert await later.sessions.renewed(agent.peer.id) is None
    assert await later.sessions.peer_of(fresh) == agent.peer.id
    assert await is_refused(later, agent.session_token)


@BOTH_DATABASES
async def test_presented_at_the_same_moment_the_fresh_token_wins(backend: Backend) -> None:
    agent = await an_agent(backend)
    fresh = await renewed(backend, agent.peer.id)
    presented = [fresh, agent.session_token] * 10
    results = await asyncio.gather(*map(backend.sessions.peer_of, presented), return_exceptions=True)
    assert [results[index] for index in range(0, 20, 2)] == [agent.peer.id] * 10
    assert all(result == agent.peer.id or isinstance(result, Unauthenticated) for result in results)
    assert await is_refused(backend, agent.session_token)
    assert not await is_refused(backend, fresh)


@BOTH_DATABASES
async def test_a_session_that_is_revoked_while_it_is_renewed_is_over(backend: Backend) -> None:
    for number in range(5):
        agent = await an_agent(backend, f"peer-{number}")
        fresh, _ = await asyncio.gather(
            backend.sessions.renewed(agent.peer.id), backend.sessions.revoke(ADA, agent.peer.id)
        )
        assert await is_refused(backend, agent.session_token)
        assert fresh is None or await is_refused(backend, fresh)
        assert await tokens(backend, agent.peer.id) == 0


async def test_revoking_ends_both_tokens_and_nobody_elses(backend: Backend) -> None:
    agent, other = await an_agent(backend), await an_agent(backend, "desk")
    fresh = await renewed(backend, agent.peer.id)
    revision = (await backend.network_now(agent.network.id)).revision
    backend.heard.commits.clear()
    await backend.sessions.revoke(ADA, agent.peer.id)
    (commit,) = backend.heard.commits
    assert (commit.ended, commit.changed) == ((agent.peer.id,), ())
    for token in (agent.session_token, fresh):
        assert await is_refused(backend, token)
    assert not await is_refused(backend, other.session_token)
    # No config is another one: the peer stays, and comes back with a new token.
    assert (await backend.network_now(agent.network.id)).revision == revision
    issued = await backend.peers.new_token(ADA, agent.peer.id)
    again = await backend.enrollment.enroll(ADA, issued.text, str(agent.peer.public_key), "host")
    assert not await is_refused(backend, again.session_token)


async def test_a_static_peer_has_no_session_and_an_unknown_one_neither(backend: Backend) -> None:
    phone = await backend.peer(await backend.network(), "phone", Kind.STATIC)
    with pytest.raises(TransitionNotAllowed):
        await backend.sessions.revoke(ADA, phone.id)
    with pytest.raises(NotFound):
        await backend.sessions.revoke(ADA, PeerId(backend.ids.new()))


async def test_the_store_knows_no_token(backend: Backend, tmp_path: Path) -> None:
    agent = await an_agent(backend)
    fresh = await renewed(backend, agent.peer.id)
    content = content_of(tmp_path)
    assert str(agent.peer.public_key) in content
    assert agent.session_token not in content
    assert fresh not in content
