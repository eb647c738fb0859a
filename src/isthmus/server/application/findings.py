"""Findings: what causes are there still, and which have gone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from isthmus.domain.federation.finding import ALARM_QUIET, INFRA_DOMAIN_CHANGED, QUIET, Cause, kind_of
from isthmus.domain.federation.remote import Remote, State
from isthmus.server.application.looks import LOOKS, Look
from isthmus.server.federation_records import RemoteFinding
from isthmus.server.ports import Clock, Ids, Store

MOST_OPEN = 10_000
ALARM = "what"
"""The evidence by which a Federator tells what its alarm says."""
Key = tuple[str, str, str]


class FindingService:
    """`looks` find what the store itself tells; other findings come from whoever saw something."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, looks: Sequence[Look] = LOOKS) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._looks = looks
        self._looked_at = frozenset[str]().union(*(look.kinds for look in looks))

    async def page(self, limit: int, after: UUID | None, *, cleared: bool = False) -> list[RemoteFinding]:
        """Newest first; with `cleared` also those whose cause is gone."""
        async with self._store.reading() as tx:
            return await tx.findings.page(limit, after, cleared=cleared)

    async def work(self) -> None:
        """Clear what is over, and find what the store itself tells."""
        now = self._clock.now()
        async with self._store.reading() as tx:
            found = {_key(each): each for each in await tx.findings.page(MOST_OPEN)}
            remotes = {remote.domain: remote for remote in await tx.remotes.all() if remote.state is not State.REVOKED}
            causes = {_key(cause): cause for look in self._looks for cause in await look.causes(tx, now)}
        over = [each for key, each in found.items() if key not in causes and self._is_over(each, remotes, now)]
        new = [cause for key, cause in causes.items() if key not in found]
        altered = [cause for key, cause in causes.items() if key in found and _is_altered(found[key], cause)]
        if not over and not new and not altered:
            return
        async with self._store.transaction() as tx:
            for each in over:
                await tx.findings.clear(each.kind, each.domain, now, subject=each.subject, seen_until=each.last_at)
            for cause in new:
                await tx.findings.put(self._begun(cause, now))
            for cause in altered:
                await tx.findings.show(cause)

    def _begun(self, cause: Cause, now: datetime) -> RemoteFinding:
        id_ = self._ids.new()
        return RemoteFinding(id_, cause.kind, cause.domain, now, now, 1, cause.evidence, subject=cause.subject)

    def _is_over(self, finding: RemoteFinding, remotes: Mapping[Any, Remote], now: datetime) -> bool:
        """Whether an open finding, of which no cause is known at this moment, has none any more."""
        quiet = ALARM_QUIET if ALARM in finding.evidence else kind_of(finding.kind).quiet
        if quiet is not None:
            return now - finding.last_at >= quiet
        remote = remotes.get(finding.domain)
        if finding.kind in self._looked_at or remote is None:
            return True
        if finding.kind == INFRA_DOMAIN_CHANGED:
            evidence = finding.evidence
            named = {*evidence.get("announced", ()), *evidence.get("discovered", ())}
            # DNS is asked again and again; a bundle announces its names once.
            is_quiet = "announced" not in evidence and now - finding.last_at >= QUIET
            return is_quiet or (bool(named) and named <= set(remote.infra_domains))
        # Whoever looks for a remote that does not answer clears it too; nobody looks for a suspended one.
        return remote.state is State.SUSPENDED


def _is_altered(finding: RemoteFinding, cause: Cause) -> bool:
    """What a Federator has said of the same stays as it said it."""
    return ALARM not in finding.evidence and cause.evidence != finding.evidence


def _key(of: Cause | RemoteFinding) -> Key:
    return of.kind, of.domain, of.subject
