"""What remotes have granted to ours, asked for again where heartbeats show that they say other than we hold."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID, uuid4

import structlog

from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.grant import HeldGrant
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Remote, State
from isthmus.protocol import grants as wire
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.held_grants import MOST_HELD, held_of
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Clock, Transaction

log = structlog.get_logger()
SERVER = Caller("server", "")
MOST_PAGES = MOST_HELD // wire.MOST_LISTED
SHORT = 32


def summary(grants: Iterable[tuple[UUID, int]]) -> str:
    """Stands for all grants between two backends that were not taken back, by id and revision."""
    lines = "\n".join(f"{grant_id} {revision}" for grant_id, revision in sorted(grants))
    return sha256(lines.encode()).hexdigest()[:SHORT]


async def summary_for(tx: Transaction, remote: Remote) -> str:
    """What `remote` should hold of us."""
    given = await tx.grants.of_remote(remote.domain)
    standing = [each for each in given if each.remote_generation == remote.generation and each.revoked_at is None]
    return summary((each.id, each.version) for each in standing)


class GrantRepair:
    def __init__(self, changes: FederationChanges, clock: Clock, outward: Outward) -> None:
        self._changes = changes
        self._store = changes.store
        self._clock = clock
        self._outward = outward
        self._differed: dict[UUID, str] = {}

    async def follow(self, remote: Remote, said: str) -> None:
        """`said` is the owner's summary in its answer to a heartbeat. What is on its way when it is made differs once;
        what differs from the same word a second time was lost."""
        before = await self._held(remote)
        if not said or said == summary((each.id, each.revision) for each in before if each.ended_at is None):
            self._differed.pop(remote.id, None)
        elif self._differed.get(remote.id) != said:
            self._differed[remote.id] = said
        else:
            del self._differed[remote.id]
            await self._repair(remote, before)

    async def _held(self, remote: Remote) -> list[HeldGrant]:
        async with self._store.reading() as tx:
            held = await tx.held_grants.of_remote(remote.domain)
        return [each for each in held if each.remote_generation == remote.generation]

    async def _repair(self, remote: Remote, before: Sequence[HeldGrant]) -> None:
        try:
            found = await self._asked(remote.domain)
        except RemoteRefused as refusal:
            log.warning("what was granted could not be asked", remote=remote.domain, code=refusal.problem.code)
            return
        async with self._changes.transaction(concerns=remote.domain) as tx:
            present = await tx.remotes.lock(remote.domain)
            if present.id != remote.id or present.state is not State.ACTIVE:
                return
            told = await self._heard(tx, present, found)
            ended = await self._ended(tx, before, {each.id for each in found})
            if told or ended:
                facts = {"told": told, "ended": ended}
                await tx.journal.audit([SERVER.did("grant.repaired", remote.domain, self._clock.now(), **facts)])

    async def _asked(self, domain: BackendDomain) -> list[wire.Tell]:
        """All that the owner lists. Raises `RemoteRefused`."""
        found: list[wire.Tell] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            errand = Errand(domain, "grants", "get", str(uuid4()))
            page = await self._outward.call(errand, wire.Get(after), wire.Granted)
            found += page.grants
            after = page.next
            if after is None:
                break
        return found

    async def _heard(self, tx: Transaction, remote: Remote, found: Sequence[wire.Tell]) -> list[str]:
        """Keep what is news; returns the ids of that."""
        facts = await tx.federation.get()
        told = []
        for each in found:
            known = await tx.held_grants.get(remote.domain, UUID(each.id))
            is_of_entry = known is not None and known.remote_generation == remote.generation
            if known is not None and is_of_entry and each.revision <= known.revision:
                continue
            try:
                said = held_of(each, remote, "" if facts is None else facts.domain, self._clock.now())
            except InvalidValue as wrong:
                log.warning("a grant of a remote is none", remote=remote.domain, grant=each.id, error=str(wrong))
                continue
            await tx.held_grants.put(said)
            told.append(each.id)
        return told

    async def _ended(self, tx: Transaction, before: Sequence[HeldGrant], listed: set[str]) -> list[str]:
        """End what we held before we asked and its owner knows nothing of, as after a restored backup."""
        ended = []
        for each in before:
            present = await tx.held_grants.get(each.remote, each.id)
            if str(each.id) not in listed and present == each and each.ended_at is None:
                await tx.held_grants.put(replace(each, ended_at=self._clock.now()))
                ended.append(str(each.id))
        return ended
