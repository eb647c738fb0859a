"""Enrollment: a one-time token and a public key become a session."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from isthmus.domain.errors import EnrollmentTokenInvalid, NotFound, RateLimited
from isthmus.domain.ids import Digest, PeerId, PublicKey, SessionId
from isthmus.domain.mesh.enrollment import EnrollmentToken, Session
from isthmus.domain.mesh.incident import EnrollmentReuse, Finding, Type
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application import secrets
from isthmus.server.application.caller import Caller
from isthmus.server.application.peers import unique
from isthmus.server.application.revisions import Step, advance
from isthmus.server.application.static_config import parse_public_key
from isthmus.server.application.throttle import Throttle
from isthmus.server.ports import Clock, Ids, Listeners, Store, Transaction
from isthmus.server.records import Commit

# Far above what a site behind one address enrolls by mistake, far below what guessing 256 bits would need.
FAILURES_PER_SOURCE = 300
WINDOW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Enrolled:
    peer: Peer
    network: Network
    session_token: str = field(repr=False)
    at: datetime


class EnrollmentService:
    """`on_reuse` is told of spent tokens that came with another key; it does not wait, so that answers to bad tokens
    take the same time."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, listeners: Listeners, on_reuse: Callable[[Finding], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._listeners = listeners
        self._on_reuse = on_reuse
        self._failures = Throttle(FAILURES_PER_SOURCE, WINDOW)

    async def enroll(self, caller: Caller, token: str, public_key: str, hostname: str) -> Enrolled:
        """Spend `token` for `public_key`. A good token works even while its source is throttled for bad ones."""
        now = self._clock.now()
        source = caller.source or "local"
        try:
            return await self._enroll(caller, token, public_key, hostname, now)
        except EnrollmentTokenInvalid:
            wait = self._failures.wait(source, now)
            self._failures.failed(source, now)
            if wait:
                raise RateLimited(wait) from None
            raise

    async def _enroll(self, caller: Caller, token: str, public_key: str, hostname: str, now: datetime) -> Enrolled:
        key = parse_public_key(public_key)
        async with self._store.transaction() as tx:
            network, found = await _locked(tx, secrets.digest_of(token))
            if found.used_by not in {None, key}:
                self._on_reuse(_reuse(found, key, hostname, caller, now))
            claimed = found.claimed(key, now)
            before = await tx.peers.get(found.peer_id)
            if found.used_at is not None and key != before.public_key:
                # The answer was not lost: the agent has changed this key since.
                raise EnrollmentTokenInvalid
            again = Commit(network.id, network, changed=(before,), event="peer.enrolled", subject=before.id)
            after, commit = before, again
            if key != before.public_key:
                enrolled = replace(before, public_key=key, key_changed_at=now)
                commit = await advance(tx, network, Step("peer.enrolled", before.id, before, enrolled), now)
                network, (after,) = commit.at, commit.changed
                with unique():
                    await tx.peers.save(after)
            await tx.enrollments.save(claimed)
            session = await self._new_session(tx, after.id, now)
            facts = {"hostname": hostname}
            await tx.journal.audit(
                [replace(caller, actor=f"agent:{after.id}").did("agent.enroll", after.id, now, **facts)]
            )
        self._listeners.changed(replace(commit, ended=(after.id,)))
        return Enrolled(after, network, session.text, now)

    async def _new_session(self, tx: Transaction, peer_id: PeerId, now: datetime) -> secrets.NewToken:
        """A peer has one session: whoever enrolls anew ends the one before."""
        token = secrets.new_token(secrets.SESSION)
        await tx.sessions.end_of_peer(peer_id)
        await tx.sessions.add(Session(SessionId(self._ids.new()), peer_id, token.digest, now))
        return token


def _reuse(token: EnrollmentToken, key: PublicKey, hostname: str, caller: Caller, now: datetime) -> Finding:
    evidence = EnrollmentReuse(token.prefix, token.used_by or "", key, hostname, caller.source)
    return Finding(token.peer_id, Type.ENROLLMENT_REUSE, evidence, blocks=False, at=now)


async def _locked(tx: Transaction, digest: Digest) -> tuple[Network, EnrollmentToken]:
    """The token and its peer's network. The network is locked first, as by everybody: who took the token first
    and whoever deletes its peer would wait for each other."""
    seen = await tx.enrollments.find(digest)
    if seen is None:
        raise EnrollmentTokenInvalid
    try:
        network = await tx.networks.lock((await tx.peers.get(seen.peer_id)).network_id)
    except NotFound:
        raise EnrollmentTokenInvalid from None
    found = await tx.enrollments.lock(digest)
    if found is None:
        raise EnrollmentTokenInvalid
    return network, found
