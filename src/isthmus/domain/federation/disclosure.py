"""What the caller is told of a call that its grant does not allow, and how much of the grant that shows."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from isthmus.domain.federation.authorization import AXES, WAN, Question, Verdict, axis_of, supplied_of
from isthmus.domain.federation.axes import as_texts
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.grant import Disclose, Grant

MOST_ALLOWED = 16
MOST_FAILURES = 5
WINDOW = timedelta(minutes=10)
"""After so many failures on axes in so long, lists are told no more: somebody may be reading them off."""

SENTENCES: Mapping[str, str] = {
    "grant_token_required": "this call needs a grant: send its token as Authorization: Bearer isthmus-grant-…",
    "grant_invalid": "the grant token is not valid",
    "grant_revoked": "the grant was revoked by its owner",
    "grant_expired": "the grant has expired",
    "grant_kind_mismatch": "the grant is for another kind of resource",
    "grant_resource_mismatch": "the grant is for another resource",
    "grant_scope_missing": "the grant does not allow this action",
    "bridge_not_active": "the network of this call has no active bridge with the calling backend",
    "wan_not_permitted": "the calling backend may call over a bridge alone",
    "incident_block": "the bridge of this call is held by an incident",
}
OF_AXES: Mapping[str, str] = {
    "instance": "calling instance not in grant allowlist",
    "network": "calling network not in grant allowlist",
    "source": "source address not in grant allowlist",
}


def denial_of(question: Question, verdict: Verdict, failures: int) -> Denied:
    """How `verdict`, which is a no, is told to the caller and to the audit log.

    `failures` counts those of this grant on its axes within the last `WINDOW`, this one included.
    """
    deciding, code = verdict.deciding or "", verdict.code
    facts = {"checks": {check: said or "passed" for check, said in verdict.checks.items()}}
    facts |= facts_of(question)
    if deciding not in AXES or question.grant is None:
        return Denied(code, detail=SENTENCES[code], facts=facts)
    level = disclosed(question, failures)
    members = members_of(question.grant, deciding, supplied_of(question.facts, deciding), level)
    return Denied(code, f"axis.{deciding}", OF_AXES[deciding], members, facts)


def disclosed(question: Question, failures: int) -> Disclose:
    """The lists are for the grant's own remote, and neither for the internet nor for whoever keeps trying."""
    told = question.grant.disclose if question.grant is not None else Disclose.NONE
    is_exposed = question.facts.network == WAN or failures > MOST_FAILURES
    return Disclose.COUNT if told is Disclose.GRANTEE and is_exposed else told


def members_of(grant: Grant, name: str, supplied: str | None, level: Disclose) -> dict[str, Any]:
    if level is Disclose.NONE:
        return {}
    allowed = as_texts(axis_of(grant, name))
    members: dict[str, Any] = {"axis": name, "supplied": supplied, "allowed_total": len(allowed)}
    return members | ({"allowed": allowed[:MOST_ALLOWED]} if level is Disclose.GRANTEE else {})


def facts_of(question: Question) -> dict[str, Any]:
    """For the audit log: by which grant and which bridge a call was judged."""
    facts: dict[str, Any] = {}
    if question.demand is not None:
        demand = question.demand
        facts |= {"scope": demand.scope.value, "kind": demand.kind, "resource": demand.resource_id}
    if question.grant is not None:
        facts |= {"grant": str(question.grant.id), "grantee": question.grant.subject}
    if question.bridge is not None:
        bridge = question.bridge
        facts |= {"bridge": str(bridge.id), "bridge_generation": bridge.generation, "bridge_state": bridge.state.value}
    return facts


def compared(grant: Grant, question: Question) -> dict[str, dict[str, Any]]:
    """For whoever owns the grant: allowed and supplied of every axis."""
    return {
        name: {
            "mode": axis_of(grant, name).mode.value,
            "allowed": as_texts(axis_of(grant, name)),
            "supplied": supplied_of(question.facts, name),
            "admitted": admits(grant, question.facts),
        }
        for name, admits in AXES.items()
    }


class Failures:
    """How often the axes of each grant have said no of late; of so many grants at most."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._times: dict[Any, list[datetime]] = {}

    def count(self, grant: Any, now: datetime) -> int:
        """Count one more, and return how many there are now."""
        recent = [at for at in self._times.pop(grant, []) if now - at < WINDOW][-MOST_FAILURES:]
        self._times[grant] = [*recent, now]
        if len(self._times) > self._most:
            del self._times[next(iter(self._times))]
        return len(recent) + 1
