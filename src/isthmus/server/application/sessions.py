"""Which peer a session token stands for: asked of the store once, then from memory until the session ends."""

from isthmus.domain.errors import Unauthenticated
from isthmus.domain.ids import Digest, PeerId
from isthmus.server.application.secrets import digest_of
from isthmus.server.ports import Store
from isthmus.server.records import Commit


class SessionMemory:
    """One digest per peer, for a peer has one session."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._peers: dict[Digest, PeerId] = {}
        self._digests: dict[PeerId, Digest] = {}
        self._ended = 0

    async def peer_of(self, token: str) -> PeerId:
        """Raises `Unauthenticated`, which an agent takes for the end of its session."""
        digest = digest_of(token)
        known = self._peers.get(digest)
        return known if known is not None else await self._asked(digest)

    async def _asked(self, digest: Digest) -> PeerId:
        ended_before = self._ended
        async with self._store.reading() as tx:
            session = await tx.sessions.with_digest(digest)
        if session is None:
            raise Unauthenticated("the session is over")
        # What was read may be the very session that has ended meanwhile.
        if ended_before == self._ended:
            self._forget(session.peer_id)
            self._peers[digest], self._digests[session.peer_id] = session.peer_id, digest
        return session.peer_id

    def changed(self, commit: Commit) -> None:
        for peer_id in commit.ended:
            self._ended += 1
            self._forget(peer_id)

    def _forget(self, peer_id: PeerId) -> None:
        digest = self._digests.pop(peer_id, None)
        if digest is not None:
            del self._peers[digest]
