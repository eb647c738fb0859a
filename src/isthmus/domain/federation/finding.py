"""What an operator should look at: how bad each kind is, what mends it, and when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

QUIET = timedelta(hours=24)
LONG_QUIET = timedelta(days=7)
ALARM_QUIET = timedelta(minutes=30)
"""Alarms of our own Federator are told every ten minutes as long as they go on."""


class Severity(StrEnum):
    """`high`: somebody may be attacking, or calls are about to fail."""

    WARNING = "warning"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Kind:
    """`quiet`: cleared when it was not seen for so long; None where its cause itself is looked at."""

    severity: Severity
    mend: str
    quiet: timedelta | None = QUIET


@dataclass(frozen=True, slots=True)
class Cause:
    """Why there is a finding at this moment. `subject` is what of the domain it is about, a grant or a bridge by its
    id; empty where it is the domain itself. `evidence` holds no secret and says the same as long as nothing changed."""

    kind: str
    domain: str
    subject: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


INFRA_DOMAIN_CHANGED = "infra_domain_changed"
REMOTE_UNREACHABLE = "remote_unreachable"
CERTIFICATE_EXPIRING = "certificate_expiring"
INSTANCE_WITHOUT_SAN = "instance_without_san"
GRANT_UNRESTRICTED_SCOPE = "grant_unrestricted_scope"
GRANT_AXIS_OPEN = "grant_axis_open"
GRANT_AXIS_EMPTY = "grant_axis_empty"
BROAD_SCOPE_GRANT = "broad_scope_grant"
GRANT_REFERENCES_UNKNOWN = "grant_references_unknown"
GRANT_SOURCE_OUTSIDE_PREFIX = "grant_source_outside_prefix"
GRANT_EXPIRING = "grant_expiring"
GRANT_UNUSED_90D = "grant_unused_90d"
BRIDGE_STATE_MISMATCH = "bridge_state_mismatch"
BRIDGE_STALE_PROPOSED = "bridge_stale_proposed"
PREFIX_OVERLAP = "prefix_overlap"
AUDIT_LOG_REWRITTEN = "audit_log_rewritten"

KINDS: Mapping[str, Kind] = {
    INFRA_DOMAIN_CHANGED: Kind(
        Severity.WARNING,
        "ask its operator over another channel; if the name is right: isthmus remote set DOMAIN --infra NAME",
        None,
    ),
    "foreign_authority": Kind(
        Severity.HIGH, "its authority vouches for a name of somebody else: ask its operator, or isthmus remote suspend"
    ),
    "trust_header_presented": Kind(
        Severity.WARNING, "it sends headers that only an ingress may set: its operator looks at proxies and client"
    ),
    "ingress_drift": Kind(
        Severity.HIGH,
        "somebody changed the ingress's files, which were rendered anew: find out who; isthmus ingress status",
    ),
    CERTIFICATE_EXPIRING: Kind(
        Severity.HIGH, "of ours: isthmus certificate list says what keeps it; of a remote: its operator renews it", None
    ),
    REMOTE_UNREACHABLE: Kind(Severity.WARNING, "isthmus remote doctor DOMAIN says which link is broken", None),
    INSTANCE_WITHOUT_SAN: Kind(
        Severity.WARNING,
        "its operator issues a certificate that names infra domain and instance: isthmus certificate renew",
    ),
    GRANT_UNRESTRICTED_SCOPE: Kind(
        Severity.HIGH, "name instances, networks or sources in it, or take admin and migrate out: isthmus grant", None
    ),
    GRANT_AXIS_OPEN: Kind(Severity.WARNING, "name who may use it, or over which network, or from where", None),
    GRANT_AXIS_EMPTY: Kind(
        Severity.WARNING,
        "an empty list lets nobody pass: name somebody, set the axis to any, or revoke the grant",
        None,
    ),
    BROAD_SCOPE_GRANT: Kind(Severity.WARNING, "grant single resources, with the scopes that are needed", None),
    GRANT_REFERENCES_UNKNOWN: Kind(
        Severity.WARNING, "what it names is not known here, so nobody passes by it: take it out, or put it right", None
    ),
    GRANT_SOURCE_OUTSIDE_PREFIX: Kind(
        Severity.WARNING, "nobody can come from there over its networks: name sources inside accepted prefixes", None
    ),
    GRANT_EXPIRING: Kind(Severity.WARNING, "create the next one if it is still needed", None),
    GRANT_UNUSED_90D: Kind(Severity.WARNING, "revoke it if nobody needs it: isthmus grant revoke", None),
    BRIDGE_STATE_MISMATCH: Kind(
        Severity.WARNING, "nothing passes until both sides are active: agree with its operator, resume or revoke", None
    ),
    BRIDGE_STALE_PROPOSED: Kind(Severity.WARNING, "accept it, remind the other operator, or revoke it", None),
    PREFIX_OVERLAP: Kind(
        Severity.HIGH, "one of the two must give way: accept other prefixes, or revoke a bridge", None
    ),
    AUDIT_LOG_REWRITTEN: Kind(
        Severity.HIGH,
        "the log does not hold what it once sealed: restored from an older backup, cut, or rewritten; find out which. "
        "Ours: isthmus audit verify --witness; of a remote: ask its operator",
        LONG_QUIET,
    ),
    "clock_jumped": Kind(Severity.HIGH, "put the clock of this machine right: isthmus federator status", ALARM_QUIET),
    "certificate_unusable": Kind(Severity.HIGH, "mend the files that isthmus federator status names", ALARM_QUIET),
}
OTHER = Kind(Severity.WARNING, "look at the evidence")


def kind_of(name: str) -> Kind:
    return KINDS.get(name, OTHER)
