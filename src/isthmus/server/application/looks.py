"""Looks: what the store itself tells of causes of findings. Each reads facts and has the rules judge them."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from isthmus.domain.federation.advice import BRIDGE_RULES, GRANT_RULES, Facts, of_bridges, of_grants
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.finding import CERTIFICATE_EXPIRING, Cause
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Remote, State, Trust
from isthmus.server.certificate_records import PAIRS, OwnAuthority, OwnLeaf
from isthmus.server.ports import Transaction
from isthmus.x509.chain import valid_until

OWN_AUTHORITY_LEAD = timedelta(days=30)
AUTHORITY_LEAD = timedelta(days=14)
LEAF_SHARE = 0.25
"""A leaf of ours is renewed at half its life; one of which a quarter is left is not being renewed."""


@dataclass(frozen=True, slots=True)
class Look:
    """Of `kinds` there are the findings for which `causes` gives a cause at this moment, and no others."""

    kinds: frozenset[str]
    causes: Callable[[Transaction, datetime], Awaitable[Iterable[Cause]]]


async def expiring(tx: Transaction, now: datetime) -> list[Cause]:
    """Certificates of ours that are not renewed, and authorities that end, ours and others'."""
    facts = await tx.federation.get()
    if facts is None:
        return []
    ours = [*_of_leaves(await tx.own_trust.leaves(), now), *_of_authorities(await tx.own_trust.authorities(), now)]
    causes = [Cause(CERTIFICATE_EXPIRING, facts.domain, evidence={"certificates": ours})] if ours else []
    for remote in await tx.remotes.all():
        ends = _authorities_end(remote.authorities) if _is_pinned(remote) else None
        if ends is not None and ends - now < AUTHORITY_LEAD:
            causes.append(Cause(CERTIFICATE_EXPIRING, remote.domain, evidence={"authority_until": ends.isoformat()}))
    return causes


async def trusting(tx: Transaction, now: datetime) -> list[Cause]:
    """What the rules say of grants and bridges."""
    if await tx.federation.get() is None:
        return []
    bridges, grants = await tx.bridges.all_live(), await tx.grants.live(now)
    known = {remote: await _instances(tx, remote, bridges) for remote in {grant.remote for grant in grants}}
    networks = {network.id: network.cidrs for network in await tx.networks.all()}
    facts = Facts(now, networks, known, bridges)
    return [*of_grants(grants, facts), *of_bridges(facts)]


async def _instances(tx: Transaction, remote: BackendDomain, bridges: Sequence[Bridge]) -> frozenset[InstanceId]:
    """Those that have called, that an operator has named, or that a bridge of the remote speaks of."""
    told = (bridge.theirs for bridge in bridges if bridge.remote == remote)
    named = (instance for statement in told if statement is not None for instance in statement.terms.instances)
    return frozenset(each.instance for each in await tx.remote_instances.of(remote)).union(named)


def _is_pinned(remote: Remote) -> bool:
    return remote.trust is Trust.PINNED and remote.state is not State.REVOKED


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


LOOKS = (
    Look(frozenset({CERTIFICATE_EXPIRING}), expiring),
    Look(frozenset(GRANT_RULES) | frozenset(BRIDGE_RULES), trusting),
)
