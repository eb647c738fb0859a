"""The problem documents (RFC 9457) of everything that speaks between backends: one frozen list of codes."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

MEDIA_TYPE = "application/problem+json"
LONGEST = 4096
MOST_ALLOWED = 16
LONGEST_TEXT = 300


class Stage(StrEnum):
    """Where on its way a request was refused."""

    INGRESS = "ingress"
    FEDERATOR_IN = "federator_in"
    COMPONENT = "component"
    FEDERATOR_OUT = "federator_out"
    REMOTE = "remote"


# fmt: off
STATUS: Mapping[str, int] = {
    # the ingress
    "client_certificate_required": 401, "client_certificate_rejected": 403,
    "misdirected_request": 421, "route_not_found": 404, "method_not_allowed": 405, "query_not_allowed": 400,
    "malformed_request": 400, "body_too_large": 413, "headers_too_large": 431, "connection_limit": 429,
    "upstream_unavailable": 503,
    # the inward side of the Federator
    "ingress_untrusted": 403, "trust_header_conflict": 400, "header_duplicated": 400,
    "origin_invalid": 400, "federation_denied": 403,
    "infra_domain_mismatch": 403, "remote_suspended": 403, "remote_revoked": 403,
    "instance_unknown": 403, "instance_blocked": 403,
    "discovery_no_service": 422, "discovery_unavailable": 503,
    "unsupported_version": 400, "unsupported_media_type": 415, "content_encoding_not_allowed": 415,
    "signature_required": 401, "signature_invalid": 401, "clock_skew": 401, "digest_mismatch": 400,
    "replay_detected": 409, "idempotency_key_required": 400, "idempotency_conflict": 422,
    "idempotency_in_progress": 409, "sequence_gap": 409,
    "rate_limited": 429, "overloaded": 503, "clock_untrusted": 503,
    # components
    "context_invalid": 401, "grant_token_required": 401, "grant_invalid": 401,
    "grant_expired": 403, "grant_revoked": 403, "grant_kind_mismatch": 403, "grant_resource_mismatch": 403,
    "grant_scope_missing": 403, "bridge_not_active": 403, "axis_denied": 403, "incident_block": 403,
    "transition_not_allowed": 409, "version_conflict": 409,
    "json_invalid": 400, "json_limits": 400, "validation_failed": 422, "not_found": 404,
    "invitation_invalid": 401, "csr_invalid": 422, "wan_not_permitted": 403,
    # the outward side of the Federator
    "target_denied": 403, "target_address_forbidden": 403,
    "remote_refused": 502, "remote_timeout": 504, "remote_tls_failed": 502, "remote_identity_mismatch": 502,
    "remote_rejected_us": 502, "remote_error": 502, "remote_protocol_error": 502, "remote_response_too_large": 502,
    "remote_backoff": 503, "own_certificate_expired": 503,
    "unauthenticated": 401, "forbidden": 403, "internal": 500,
}
# fmt: on

RETRYABLE = frozenset(
    {
        "connection_limit", "upstream_unavailable", "discovery_unavailable", "idempotency_in_progress", "rate_limited",
        "overloaded", "clock_untrusted", "version_conflict", "remote_refused", "remote_timeout", "remote_tls_failed",
        "remote_backoff",
    }
)  # fmt: skip
"""Codes that the same request may get past later, without anybody mending anything first."""


class Nested(Struct, frozen=True, omit_defaults=True):
    """What remains of a remote's problem in ours, type-checked and bounded: the axis fields serve the triage."""

    status: int
    code: str = ""
    request_id: str = ""
    axis: str = ""
    supplied: str = ""
    allowed: list[str] = msgspec.field(default_factory=list)
    allowed_total: int = 0


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every refusal, at most 4 KiB. `remote` is the problem of a remote that this one passes on."""

    type: str
    title: str
    status: int
    code: str
    stage: Stage
    request_id: str
    instance: str
    # `omit_defaults` would drop a plain False.
    retryable: bool
    detail: str = ""
    retry_after: int | UnsetType = UNSET
    axis: str | UnsetType = UNSET
    supplied: str | UnsetType | None = UNSET
    allowed: list[str] | UnsetType = UNSET
    allowed_total: int | UnsetType = UNSET
    expected: str | int | UnsetType = UNSET
    pointer: str | UnsetType = UNSET
    server_time: str | UnsetType = UNSET
    supported: list[int] | UnsetType = UNSET
    bucket: str | UnsetType = UNSET
    remote: Nested | UnsetType = UNSET


def title_of(code: str) -> str:
    return code.replace("_", " ").capitalize()


def problem(code: str, stage: Stage, request_id: str, detail: str = "", **members: Any) -> Problem:
    """The problem for `code`; `status` may be given for the one code that has several (502–504)."""
    status = members.pop("status", STATUS[code])
    return Problem(
        type=f"urn:isthmus:problem:{code}",
        title=title_of(code),
        status=status,
        code=code,
        stage=stage,
        request_id=request_id,
        instance=f"urn:uuid:{request_id}",
        retryable=code in RETRYABLE,
        detail=detail[:LONGEST_TEXT],
        **members,
    )


def headers_of(document: Problem) -> dict[str, str]:
    """The headers that go with a problem."""
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if document.retry_after is not UNSET:
        headers["Retry-After"] = str(document.retry_after)
    return headers
