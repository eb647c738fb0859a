"""What an operator should look at: how bad each kind is, what mends it, and when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

QUIET = timedelta(hours=24)
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
    "clock_jumped": Kind(Severity.HIGH, "put the clock of this machine right: isthmus federator status", ALARM_QUIET),
    "certificate_unusable": Kind(Severity.HIGH, "mend the files that isthmus federator status names", ALARM_QUIET),
}
OTHER = Kind(Severity.WARNING, "look at the evidence")


def kind_of(name: str) -> Kind:
    return KINDS.get(name, OTHER)
