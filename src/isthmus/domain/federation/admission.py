"""Which calls of other backends are admitted: the rows of the inbound table that need no I/O.

Each raises `Denied` with a code and the reason for the audit log. What a caller is told who is not bound to the origin
that it claims is decided in one place, `disclosed`.
"""

from collections.abc import Collection, Sequence

from isthmus.domain.federation.certificate import Identity, LeafFacts
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId, is_domain
from isthmus.domain.federation.remote import Direction, State, Trust
from isthmus.domain.federation.view import Known, View

UNIFORM = "federation_denied"
FOR_THE_BOUND = frozenset(
    {"infra_domain_mismatch", "remote_suspended", "remote_revoked", "instance_unknown", "instance_blocked"}
)
"""Codes that tell something of a remote, and so only to itself."""

BETWEEN_BACKENDS = frozenset({"handshake", "heartbeat", "bridges"})
"""Components by which backends keep each other's standing; an entry cannot leave them out."""


def disclosed(denied: Denied, bound: BackendDomain | None) -> Denied:
    """The denial as the caller reads it: whoever is not bound to an origin gets one uniform answer."""
    if denied.code == UNIFORM or (bound is None and denied.code in FOR_THE_BOUND):
        return Denied(UNIFORM, denied.reason, facts=denied.facts)
    return denied


def origin_of(text: str | None) -> BackendDomain:
    """The backend domain that the caller claims."""
    if text is None:
        raise Denied("origin_invalid", "origin.missing", "the request names no origin domain")
    if not is_domain(text):
        raise Denied("origin_invalid", "origin.grammar", "the origin domain is none")
    return BackendDomain(text)


def listed(view: View, origin: BackendDomain, component: str, now: float) -> Known:
    """The gate: strangers, and calls that an entry leaves out, get no further, and cause no lookup."""
    known = view.find(origin)
    if known is None or not known.listed or origin == view.domain:
        raise Denied(UNIFORM, "not_listed")
    if known.is_expired(now):
        raise Denied(UNIFORM, "expired")
    if component in BETWEEN_BACKENDS:
        return known
    if not known.direction.has(Direction.IN):
        raise Denied(UNIFORM, "direction")
    if known.components is not None and component not in known.components:
        raise Denied(UNIFORM, "component")
    return known


def check_revoked(known: Known, leaf: LeafFacts, instance: InstanceId | None) -> None:
    """Whether this leaf, its serial, its key or its instance counts no more."""
    revoked = known.revoked
    if leaf.fingerprint in revoked.leaves or leaf.serial in revoked.serials or leaf.key in revoked.keys:
        raise Denied(UNIFORM, "leaf_revoked")
    if instance is not None and instance in revoked.instances:
        raise Denied(UNIFORM, "instance_revoked")


def check_infra_domain(known: Known, found: Collection[str], leaf: LeafFacts) -> InfraDomain:
    """The first infra domain that DNS names for the origin, the leaf proves and the entry pins.

    DNS may narrow what is pinned, never widen it.
    """
    named = [InfraDomain(name) for name in leaf.dns_names if name in found]
    facts = {"discovered": sorted(found)[:8], "leaf_names": list(leaf.dns_names[:8])}
    if not named:
        detail = "DNS names none of the certificate's infra domains for the origin domain"
        raise Denied("infra_domain_mismatch", detail=detail, facts=facts)
    if known.trust is Trust.SHARED and not known.infra_domains:
        return named[0]
    pinned = [name for name in named if name in known.infra_domains]
    if not pinned:
        raise Denied(UNIFORM, "infra_unpinned", facts=facts)
    return pinned[0]


def check_standing(known: Known, instance: InstanceId | None, admitted: Collection[State]) -> None:
    """What the remote's own state, and that of its instance, allow. Calls from the states `admitted` get through."""
    if known.state not in admitted:
        if known.state is State.SUSPENDED:
            raise Denied("remote_suspended", detail="this backend has suspended the federation with yours")
        if known.state is State.REVOKED:
            raise Denied("remote_revoked", detail="this backend has ended the federation with yours")
        # Not even the word "pending" before both operators have confirmed.
        raise Denied(UNIFORM, "not_confirmed" if known.state is State.PENDING else "not_admitted")
    if instance is None:
        raise Denied(UNIFORM, "profile.uri")
    if instance in known.blocked:
        raise Denied("instance_blocked", detail="this backend has blocked the calling instance")
    if known.instances is not None and instance not in known.instances:
        raise Denied("instance_unknown", detail="the calling instance is not registered with this backend")


def version_of(text: str | None, spoken: Sequence[int]) -> int:
    """The version of the API that the caller speaks."""
    version = int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 4 else None
    if version is None or version not in spoken:
        detail = "name a version that this backend speaks"
        raise Denied("unsupported_version", detail=detail, members={"supported": sorted(spoken)})
    return version


def is_own_invitation(view: View, identity: Identity) -> bool:
    """Whether a leaf says that it is the one of an invitation of ours; its chain is still to be checked."""
    return identity.invitation is not None and identity.domain == view.domain
