"""What is so of the backend's own certificates and keys, and what must become so. Decided here, done by the service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from isthmus.domain.federation.bundle import MOST_REVOKED, Bundle
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.rollover import (
    Schedule,
    Standing,
    current,
    following,
    is_half_over,
    turned,
    without_spent,
)
from isthmus.protocol.federation import API_VERSIONS
from isthmus.server.certificate_ports import OwnTrustRows
from isthmus.server.certificate_records import OwnAuthority, OwnBundle, OwnKey, OwnLeaf, Purpose
from isthmus.x509.pair import Pair

REMEMBERED = timedelta(days=1)
"""For how long an expired leaf stays in the list."""
MOST_LEAVES = 500


@dataclass(frozen=True, slots=True)
class Names:
    """What our leaves and our bundle say that we are."""

    domain: BackendDomain
    infra_domains: tuple[InfraDomain, ...]


@dataclass(frozen=True, slots=True)
class OwnState:
    bundle: OwnBundle | None = None
    authorities: tuple[OwnAuthority, ...] = ()
    keys: tuple[OwnKey, ...] = ()
    leaves: tuple[OwnLeaf, ...] = ()

    def instance(self, purpose: Purpose) -> UUID:
        if self.bundle is None:
            raise LookupError("there are no instances before there is a bundle")
        return self.bundle.ingress if purpose is Purpose.INGRESS else self.bundle.federator

    def leaf(self, serial: int) -> OwnLeaf | None:
        return next((each for each in self.leaves if each.serial == serial), None)

    def issuing(self) -> OwnAuthority:
        found = current(self.authorities)
        if found is None:
            raise LookupError("there is no authority")
        return found

    def signing(self) -> OwnKey:
        found = current(self.keys)
        if found is None:
            raise LookupError("there is no message key")
        return found


async def load(rows: OwnTrustRows, *, lock: bool = False) -> OwnState:
    bundle = await (rows.lock() if lock else rows.bundle())
    authorities, keys, leaves = await rows.authorities(), await rows.keys(), await rows.leaves()
    return OwnState(bundle, tuple(authorities), tuple(keys), tuple(leaves))


async def save(rows: OwnTrustRows, before: OwnState, after: OwnState) -> None:
    """Write what differs."""
    if after.bundle is not None and after.bundle != before.bundle:
        await rows.put_bundle(after.bundle)
    authorities = {each.fingerprint for each in after.authorities}
    await rows.drop_authorities(
        [each.fingerprint for each in before.authorities if each.fingerprint not in authorities]
    )
    await rows.put_authorities(each for each in after.authorities if each not in before.authorities)
    keys = {each.id for each in after.keys}
    await rows.drop_keys([each.id for each in before.keys if each.id not in keys])
    await rows.put_keys(each for each in after.keys if each not in before.keys)
    serials = {each.serial for each in after.leaves}
    await rows.drop_leaves([each.serial for each in before.leaves if each.serial not in serials])
    await rows.put_leaves(each for each in after.leaves if each not in before.leaves)


def aged(state: OwnState, now: datetime, schedule: Schedule) -> OwnState:
    """`state` after the mere passing of time: what comes next takes over, what is spent goes."""
    authorities = turned(state.authorities, now, schedule.ahead)
    keys = turned(state.keys, now, schedule.ahead)
    return replace(
        state,
        authorities=without_spent(authorities, now, schedule.authority_overlap),
        keys=without_spent(keys, now, schedule.key_overlap),
        leaves=_remembered(state.leaves, now),
    )


def _remembered(leaves: Sequence[OwnLeaf], now: datetime) -> tuple[OwnLeaf, ...]:
    kept = [each for each in leaves if now < each.ends_at + REMEMBERED]
    # Whoever asks for new leaves all the time does not make the list grow; what is revoked stays listed.
    needless = [each for each in kept if each.revoked_at is None or each.ends_at <= now]
    gone = {each.serial for each in needless[: max(0, len(kept) - MOST_LEAVES)]}
    return tuple(each for each in kept if each.serial not in gone)


def wants_key(state: OwnState, now: datetime, schedule: Schedule) -> bool:
    """Whether the message key is so old that another one should be published."""
    key = current(state.keys)
    return key is not None and following(state.keys) is None and now >= key.changed_at + schedule.key_life


def wants_authority(state: OwnState, now: datetime, schedule: Schedule) -> bool:
    """Whether the CA ends soon and we may make another one: an imported one is its operator's to replace."""
    authority = current(state.authorities)
    if authority is None or authority.is_imported or following(state.authorities) is not None:
        return False
    return now >= authority.ends_at - schedule.authority_lead


def needs_leaf(state: OwnState, purpose: Purpose, pair: Pair | None, names: Names, now: datetime) -> bool:
    """Whether the pair in use must give way to a new one."""
    leaf = None if pair is None else state.leaf(pair.leaf.serial)
    return (
        leaf is None
        or leaf.revoked_at is not None
        or leaf.purpose is not purpose
        or leaf.infra_domains != names.infra_domains
        or leaf.authority != state.issuing().fingerprint
        or is_half_over(leaf.issued_at, leaf.ends_at, now)
    )


def revoked_leaf(state: OwnState, serial: int, reason: str, now: datetime) -> OwnState:
    leaves = (replace(each, revoked_at=now, reason=reason) if each.serial == serial else each for each in state.leaves)
    return replace(state, leaves=tuple(leaves))


def live_revoked(leaves: Sequence[OwnLeaf], now: datetime) -> list[OwnLeaf]:
    """Leaves that were revoked and would still be valid, those that last longest first."""
    found = [each for each in leaves if each.revoked_at is not None and now < each.ends_at]
    return sorted(found, key=lambda each: (each.ends_at, each.serial), reverse=True)


def contents(state: OwnState, names: Names, now: datetime) -> Bundle:
    """The bundle that says what `state` is, with the sequence that was published last."""
    # In one order, whichever they were read in: another order would be another bundle.
    authorities = sorted(state.authorities, key=lambda each: (each.published_at, each.fingerprint))
    certificates = [each for authority in authorities for each in authority.certificates]
    return Bundle(
        domain=names.domain,
        sequence=max(1, state.bundle.sequence if state.bundle else 1),
        infra_domains=names.infra_domains,
        # Two of our CAs may stand below one root.
        authorities=tuple(dict.fromkeys(certificates)),
        message_keys={key.id: key.public for key in state.keys},
        versions=API_VERSIONS,
        revoked=tuple(each.serial for each in live_revoked(state.leaves, now)[:MOST_REVOKED]),
    )


def next_sequence(last: int, now: datetime) -> int:
    """The seconds since 1970, or one more than the last: it grows even where the database was restored from a backup,
    and remotes would refuse a number that they have seen."""
    return max(last + 1, int(now.timestamp()))


def signer_of(keys: Iterable[OwnKey]) -> OwnKey:
    """The message key that signs what remotes keep, such as a new bundle: the oldest that is in it, for that is the one
    that a remote which was away knows."""
    published = [key for key in keys if key.standing is not Standing.NEXT]
    return min(published, key=lambda key: (key.standing is Standing.CURRENT, key.published_at))
