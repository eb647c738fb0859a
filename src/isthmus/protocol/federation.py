"""What travels between backends: the headers, and the table of every call that a remote can make of us.

The table is the federated API: the Federator routes by it, components register by it, its documentation is made of it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from isthmus.protocol import directory, handshake, heartbeat

API_VERSIONS = (0,)
"""Versions of the federated API that this release speaks."""

ORIGIN = "Isthmus-Origin-Domain"
API_VERSION = "Isthmus-Api-Version"
REQUEST_ID = "X-Request-Id"
IDEMPOTENCY_KEY = "Idempotency-Key"
CONTENT_DIGEST = "Content-Digest"
SIGNATURE = "Signature"
SIGNATURE_INPUT = "Signature-Input"
AUTHORIZATION = "Authorization"

CALL_SECONDS_HEADER = "Isthmus-Call-Seconds"
"""From a component to its own Federator: the time that the whole call may take, at most `CALL_SECONDS`."""

MOST_REQUEST = 256 * 1024
MOST_RESPONSE = 1024 * 1024
CALL_SECONDS = 10.0
DEFAULT_SERVICE = "isthmus-federator"


class Admits(Enum):
    """Whose call gets as far as the component."""

    INVITED = "whoever holds an open invitation of ours"
    PENDING = "a remote whose operators have not both confirmed yet"
    SUSPENDED = "a remote that is suspended on this side"
    ACTIVE = "an active remote"


class Rpc(Struct, frozen=True):
    """One call. `changes` marks a mutation: it must be signed and carry an idempotency key."""

    request: type[Any]
    response: type[Any]
    summary: str
    changes: bool = False
    admits: frozenset[Admits] = frozenset({Admits.ACTIVE})
    versions: tuple[int, ...] = API_VERSIONS
    errors: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it has an effect. Then the audit row of its admission is its component's, in the transaction of the
        effect; whoever holds an invitation becomes a remote by it without being able to sign yet."""
        return self.changes or Admits.INVITED in self.admits


KNOWN = frozenset({Admits.PENDING, Admits.ACTIVE})
NOT_YET_GONE = frozenset({Admits.PENDING, Admits.SUSPENDED, Admits.ACTIVE})

RPCS: Mapping[tuple[str, str], Rpc] = {
    ("directory", "get-user-by-handle"): Rpc(
        directory.GetUser,
        directory.UserProfile,
        "The profile of one user, by exact handle",
        errors=("not_found",),
    ),
    ("directory", "search-users"): Rpc(
        directory.SearchUsers, directory.FoundUsers, "Users whose handle or name begins with a text"
    ),
    ("directory", "get-instance"): Rpc(
        directory.GetInstance,
        directory.Instance,
        "What an instance of this backend is called",
        errors=("not_found",),
    ),
    ("handshake", "accept"): Rpc(
        handshake.Accept,
        handshake.Accepted,
        "Accept an invitation, once",
        admits=frozenset({Admits.INVITED}),
        errors=("invitation_invalid",),
    ),
    ("handshake", "confirm"): Rpc(
        handshake.Confirm,
        handshake.Standing,
        "Say that this side's operator has confirmed the short code",
        changes=True,
        admits=KNOWN,
        errors=("validation_failed",),
    ),
    ("handshake", "notice"): Rpc(
        handshake.Notice,
        handshake.Standing,
        "Tell the other side that it was suspended, resumed or revoked, or of a new bundle",
        changes=True,
        admits=NOT_YET_GONE,
        errors=("sequence_gap", "validation_failed"),
    ),
    ("heartbeat", "beat"): Rpc(
        heartbeat.Beat, heartbeat.BeatAnswer, "Say that we are there, and what we know of each other", admits=KNOWN
    ),
    ("heartbeat", "get-versions"): Rpc(
        heartbeat.GetVersions, heartbeat.Versions, "The API versions that this backend speaks", admits=KNOWN
    ),
    ("heartbeat", "get-audit-heads"): Rpc(
        heartbeat.GetAuditHeads,
        heartbeat.AuditHeads,
        "The heads of the caller's audit log that this backend holds as a witness",
        admits=KNOWN,
    ),
    ("heartbeat", "call-back"): Rpc(
        heartbeat.CallBack, heartbeat.CalledBack, "Call the caller back and say how that went"
    ),
}
# fmt: off
ERRORS_OF_EVERY_CALL = (
    "client_certificate_required", "client_certificate_rejected", "misdirected_request", "route_not_found",
    "method_not_allowed", "query_not_allowed", "malformed_request", "body_too_large", "headers_too_large",
    "connection_limit", "upstream_unavailable", "trust_header_conflict", "header_duplicated", "origin_invalid",
    "federation_denied", "infra_domain_mismatch", "remote_suspended", "remote_revoked", "instance_unknown",
    "instance_blocked", "discovery_no_service", "discovery_unavailable", "unsupported_version",
    "unsupported_media_type", "content_encoding_not_allowed", "rate_limited", "overloaded", "clock_untrusted",
    "json_invalid", "json_limits", "validation_failed", "internal",
)
ERRORS_OF_EVERY_MUTATION = (
    "signature_required", "signature_invalid", "clock_skew", "digest_mismatch", "replay_detected",
    "idempotency_key_required", "idempotency_conflict", "idempotency_in_progress", "version_conflict",
)
# fmt: on
"""What a remote may be told on its way to any component, and by it, beside the errors of the call itself."""
COMPONENTS = frozenset(component for component, _ in RPCS)
