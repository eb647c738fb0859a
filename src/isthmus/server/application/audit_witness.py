"""Witnesses: heartbeats carry the head of our audit log to remotes and theirs to us, so that neither can be rewritten
or cut without the other side knowing."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog

from isthmus.domain.audit import Seal, outdated
from isthmus.domain.federation.finding import AUDIT_LOG_REWRITTEN
from isthmus.domain.federation.remote import Remote, State
from isthmus.protocol import heartbeat as wire
from isthmus.protocol.audit import head_of, head_text, is_sealed
from isthmus.server.audit_ports import Witness
from isthmus.server.federation_records import RemoteFinding
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Clock, Ids, Store, Transaction

log = structlog.get_logger()

MOST_HEARD = 4096


@dataclass(frozen=True, slots=True)
class Heads:
    """What a heartbeat says of audit logs: the head of the one who speaks, and the one that it holds of the other."""

    own: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one remote holds of our log: how many heads, and those that our log does not contain. `problem` is there
    where it could not be asked."""

    domain: str
    heads: int = 0
    contradicting: tuple[Seal, ...] = ()
    problem: str = ""


async def heads_for(tx: Transaction, remote: Remote | None) -> Heads:
    """What to tell a remote; nothing to one that has no entry."""
    if remote is None:
        return Heads()
    last, held = await tx.chain.last_seal(), await tx.witnesses.greatest(remote.id)
    return Heads("" if last is None else head_text(last.seal), "" if held is None else held.head)


class WitnessService:
    """What was heard waits until `work` stores it: a heartbeat that is answered writes nothing."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, outward: Outward) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._outward = outward
        self._heard: dict[UUID, tuple[Remote, Heads]] = {}

    def hear(self, remote: Remote, heads: Heads) -> None:
        """The last that each remote said counts."""
        if (heads.own or heads.held) and (remote.id in self._heard or len(self._heard) < MOST_HEARD):
            self._heard[remote.id] = (remote, heads)

    async def work(self) -> None:
        """Keep what was heard, and find what contradicts."""
        heard, self._heard = self._heard, {}
        for remote, heads in heard.values():
            async with self._store.transaction() as tx:
                await self._keep(tx, remote, heads.own)
                await self._compare(tx, remote, heads.held)

    async def _keep(self, tx: Transaction, remote: Remote, head: str) -> None:
        seal = _read(head)
        if seal is None:
            return
        present = await tx.remotes.by_id(remote.id)
        if present.state is State.REVOKED or not is_sealed(seal, present.domain, present.message_keys):
            # Its bundle with a new key may be on its way.
            return
        now = self._clock.now()
        held = {witness.head: head_of(witness.head) for witness in await tx.witnesses.of(remote.id)}
        for before in held.values():
            if seal.contradicts(before):
                await self._find(tx, present.domain, "", {"it_said": _shown(before), "it_says": _shown(seal)}, now)
                break
        await tx.witnesses.put(Witness(remote.id, seal.number, head, now))
        texts = {id(each): text for text, each in held.items()}
        needless = outdated([*held.values(), *([] if head in held else [seal])])
        await tx.witnesses.drop(remote.id, [texts[id(each)] for each in needless if id(each) in texts])

    async def _compare(self, tx: Transaction, remote: Remote, head: str) -> None:
        seal = _read(head)
        facts = await tx.federation.get()
        if seal is None or facts is None or await _is_ours(tx, seal):
            return
        keys = {key.id: key.public for key in await tx.own_trust.keys()}
        if is_sealed(seal, facts.domain, keys):
            await self._find(tx, facts.domain, remote.domain, {"holds": _shown(seal)}, self._clock.now())

    async def _find(
        self, tx: Transaction, domain: str, subject: str, evidence: dict[str, object], at: datetime
    ) -> None:
        log.error("an audit log was rewritten or cut", domain=domain, witness=subject or "ourselves")
        found = RemoteFinding(self._ids.new(), AUDIT_LOG_REWRITTEN, domain, at, at, 1, evidence, subject=subject)
        await tx.findings.put(found)

    async def ask(self, request_id: str) -> list[Asked]:
        """Ask every active remote, one after the other, for all heads that it holds of our log."""
        async with self._store.reading() as tx:
            remotes = [remote for remote in await tx.remotes.all() if remote.state is State.ACTIVE]
        return [await self._ask(remote, request_id or str(uuid4())) for remote in remotes]

    async def _ask(self, remote: Remote, request_id: str) -> Asked:
        errand = Errand(remote.domain, "heartbeat", "get-audit-heads", request_id)
        try:
            answer = await self._outward.call(errand, wire.GetAuditHeads(), wire.AuditHeads)
        except RemoteRefused as refusal:
            return Asked(remote.domain, problem=refusal.problem.code)
        seals = [seal for seal in map(_read, answer.heads) if seal is not None]
        async with self._store.reading() as tx:
            strange = [seal for seal in seals if not await _is_ours(tx, seal)]
        return Asked(remote.domain, len(seals), tuple(strange))


async def _is_ours(tx: Transaction, seal: Seal) -> bool:
    """Whether our log has this head."""
    link = await tx.chain.link_of(seal.number)
    return link is not None and link.hash == seal.hash


def _read(head: str) -> Seal | None:
    try:
        return head_of(head)
    except (ValueError, OverflowError):
        return None


def _shown(seal: Seal) -> dict[str, object]:
    return {"number": seal.number, "hash": seal.hash.hex(), "sealed_at": seal.at.isoformat(), "key": seal.key_id}
