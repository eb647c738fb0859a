"""Sessions of agents: which peer a token stands for, a fresh token in the place of an old one, and the end."""

from collections.abc import Sequence
from datetime import datetime

from isthmus.domain.errors import NotFound, TransitionNotAllowed, Unauthenticated
from isthmus.domain.ids import Digest, PeerId, SessionId
from isthmus.domain.mesh.enrollment import TAKE_OVER, Session
from isthmus.server.application import secrets
from isthmus.server.application.caller import Caller
from isthmus.server.application.secrets import digest_of
from isthmus.server.ports import Clock, Ids, Listeners, Store
from isthmus.server.records import Commit


class SessionService:
    """Tokens are looked up in the store once, then in memory until their session ends.

    A peer has two tokens at most: the one that it presents, and a fresh one that it has not presented yet. To
    present the fresh one ends the other, so whoever lost the answer that carried it goes on with what it has.
    """

    def __init__(self, store: Store, clock: Clock, ids: Ids, listeners: Listeners) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._listeners = listeners
        # What each peer presented last; a fresh token comes in here when it is presented.
        self._peers: dict[Digest, PeerId] = {}
        self._presented: dict[PeerId, Session] = {}
        self._told_at: dict[PeerId, datetime] = {}
        self._ended = 0

    async def peer_of(self, token: str) -> PeerId:
        """The peer of a token. Raises `Unauthenticated`, which an agent takes for the end of its session."""
        digest = digest_of(token)
        known = self._peers.get(digest)
        if known is None:
            return await self._asked(digest)
        if self._presented[known].is_over(self._clock.now()):
            raise Unauthenticated("the session is over")
        return known

    async def _asked(self, digest: Digest) -> PeerId:
        ended_before = self._ended
        async with self._store.reading() as tx:
            session = await tx.sessions.with_digest(digest)
            tokens = {} if session is None else await tx.sessions.of_peers([session.peer_id])
        if session is None or session.is_over(self._clock.now()):
            raise Unauthenticated("the session is over")
        if tokens[session.peer_id][0].id != session.id:
            await self._take_over(session)
        # What was read may be the very session that has ended meanwhile.
        if ended_before == self._ended:
            self._forget(session.peer_id)
            self._peers[digest], self._presented[session.peer_id] = session.peer_id, session
        return session.peer_id

    async def _take_over(self, fresh: Session) -> None:
        """End the token that `fresh`, which was presented just now, takes the place of."""
        async with self._store.transaction() as tx:
            for other in (await tx.sessions.of_peers([fresh.peer_id])).get(fresh.peer_id, ()):
                if other.token_made_at < fresh.token_made_at:
                    await tx.sessions.end(other.id)

    def is_due(self, peer_id: PeerId) -> bool:
        """Whether the token that the peer presented is old enough, and another was not told a moment ago."""
        session, now = self._presented.get(peer_id), self._clock.now()
        if session is None or not session.is_due(now):
            return False
        told_at = self._told_at.get(peer_id)
        return told_at is None or now - told_at >= TAKE_OVER

    async def renewed(self, peer_id: PeerId) -> str | None:
        """A fresh token to tell the peer, where the one that it presented is due.

        An agent presents what it was told last, at once: one that still goes on with the old one an hour later never
        got the fresh one, which then ends.
        """
        if not self.is_due(peer_id):
            return None
        session, now = self._presented[peer_id], self._clock.now()
        token = secrets.new_token(secrets.SESSION)
        try:
            async with self._store.transaction() as tx:
                await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
                present = (await tx.sessions.of_peers([peer_id])).get(peer_id, [])
                fresh = [each for each in present if each != session]
                if len(fresh) == len(present) or any(now - each.token_made_at < TAKE_OVER for each in fresh):
                    return None
                for lost in fresh:
                    await tx.sessions.end(lost.id)
                await tx.sessions.add(session.rotated(SessionId(self._ids.new()), token.digest, now))
        except NotFound:
            return None
        self._told_at[peer_id] = now
        return token.text

    async def revoke(self, caller: Caller, peer_id: PeerId) -> None:
        """End the session of a peer: its agent is told nothing any more, and has to enroll anew."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            peer = await tx.peers.get(peer_id)
            if not peer.kind.has_agent:
                raise TransitionNotAllowed(peer.name, "is a static peer and has no session", "delete the peer")
            await tx.sessions.end_of_peer(peer_id)
            await tx.journal.audit([caller.did("peer.revoke_session", peer_id, now)])
        self._listeners.changed(Commit(network.id, network, ended=(peer_id,)))

    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, list[Session]]:
        """The tokens of each peer that has one, the newest last."""
        async with self._store.reading() as tx:
            return await tx.sessions.of_peers(peer_ids)

    def changed(self, commit: Commit) -> None:
        for peer_id in commit.ended:
            self._ended += 1
            self._forget(peer_id)

    def _forget(self, peer_id: PeerId) -> None:
        self._told_at.pop(peer_id, None)
        session = self._presented.pop(peer_id, None)
        if session is not None:
            del self._peers[session.digest]
