"""Findings: what causes are there still, and which have gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from isthmus.domain.federation.finding import ALARM_QUIET, CERTIFICATE_EXPIRING, INFRA_DOMAIN_CHANGED, QUIET, kind_of
from isthmus.domain.federation.remote import Remote, State, Trust
from isthmus.server.certificate_records import PAIRS, OwnAuthority, OwnLeaf
from isthmus.server.federation_records import RemoteFinding
from isthmus.server.ports import Clock, Ids, Store, Transaction
from isthmus.x509.chain import valid_until

OWN_AUTHORITY_LEAD = timedelta(days=30)
AUTHORITY_LEAD = timedelta(days=14)
LEAF_SHARE = 0.25
"""A leaf of ours is renewed at half its life; one of which a quarter is left is not being renewed."""
MOST_OPEN = 10_000
ALARM = "what"
"""The evidence by which a Federator tells what its alarm says."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why there is a finding at this moment."""

    kind: str
    domain: str
    evidence: dict[str, Any] = field(default_factory=dict)


class FindingService:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def page(self, limit: int, after: UUID | None, *, cleared: bool = False) -> list[RemoteFinding]:
        """Newest first; with `cleared` also those whose cause is gone."""
        async with self._store.reading() as tx:
            return await tx.findings.page(limit, after, cleared=cleared)

    async def work(self) -> None:
        """Clear what is over, and find what the store itself tells."""
        now = self._clock.now()
        async with self._store.reading() as tx:
            found = await tx.findings.page(MOST_OPEN)
            remotes = {remote.domain: remote for remote in await tx.remotes.all() if remote.state is not State.REVOKED}
            causes = await _expiring(tx, list(remotes.values()), now)
        there = {(cause.kind, cause.domain) for cause in causes}
        over = [each for each in found if (each.kind, each.domain) not in there and _is_over(each, remotes, now)]
        known = {(each.kind, each.domain) for each in found}
        new = [cause for cause in causes if (cause.kind, cause.domain) not in known]
        if not over and not new:
            return
        async with self._store.transaction() as tx:
            for each in over:
                await tx.findings.clear(each.kind, each.domain, now, seen_until=each.last_at)
            for cause in new:
                await tx.findings.put(
                    RemoteFinding(self._ids.new(), cause.kind, cause.domain, now, now, 1, cause.evidence)
                )


def _is_over(finding: RemoteFinding, remotes: dict[Any, Remote], now: datetime) -> bool:
    """Whether an open finding, of which no cause is known at this moment, has none any more."""
    quiet = ALARM_QUIET if ALARM in finding.evidence else kind_of(finding.kind).quiet
    if quiet is not None:
        return now - finding.last_at >= quiet
    remote = remotes.get(finding.domain)
    if finding.kind == CERTIFICATE_EXPIRING or remote is None:
        return True
    if finding.kind == INFRA_DOMAIN_CHANGED:
        evidence = finding.evidence
        named = {*evidence.get("announced", ()), *evidence.get("discovered", ())}
        # DNS is asked again and again; a bundle announces its names once.
        is_quiet = "announced" not in evidence and now - finding.last_at >= QUIET
        return is_quiet or (bool(named) and named <= set(remote.infra_domains))
    # Whoever looks for a remote that does not answer clears it too; nobody looks for a suspended one.
    return remote.state is State.SUSPENDED


async def _expiring(tx: Transaction, remotes: Sequence[Remote], now: datetime) -> list[Cause]:
    facts = await tx.federation.get()
    if facts is None:
        return []
    ours = [*_of_leaves(await tx.own_trust.leaves(), now), *_of_authorities(await tx.own_trust.authorities(), now)]
    causes = [Cause(CERTIFICATE_EXPIRING, facts.domain, {"certificates": ours})] if ours else []
    for remote in remotes:
        ends = _authorities_end(remote.authorities) if remote.trust is Trust.PINNED else None
        if ends is not None and ends - now < AUTHORITY_LEAD:
            causes.append(Cause(CERTIFICATE_EXPIRING, remote.domain, {"authority_until": ends.isoformat()}))
    return causes


def _of_leaves(leaves: Sequence[OwnLeaf], now: datetime) -> Iterator[str]:
    for purpose in PAIRS:
        last = max((each for each in leaves if each.purpose is purpose), key=lambda each: each.issued_at, default=None)
        if last is not None and last.ends_at - now < LEAF_SHARE * (last.ends_at - last.issued_at):
            yield f"leaf of the {purpose} {last.serial:x} until {last.ends_at.isoformat()}"


def _of_authorities(authorities: Sequence[OwnAuthority], now: datetime) -> Iterator[str]:
    ends = max((each.ends_at for each in authorities), default=None)
    if ends is not None and ends - now < OWN_AUTHORITY_LEAD:
        yield f"CA until {ends.isoformat()}"


@lru_cache(maxsize=4096)
def _authorities_end(ders: tuple[bytes, ...]) -> datetime | None:
    """When the last of a remote's authorities ends: until then one that is to come may take over."""
    try:
        return max((end for der in ders if (end := valid_until([der])) is not None), default=None)
    except ValueError:
        return None
