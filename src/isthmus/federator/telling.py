"""A failed call of ours, told: the problem that the component gets, the one audit row, and the line in the log."""

from collections.abc import Mapping
from typing import Any

import structlog

from isthmus.domain.federation.denial import Denied
from isthmus.federator.calling import CallFailed
from isthmus.federator.judging import RemoteSaidNo
from isthmus.federator.ports import Fact, Overloaded, Rows, Snapshots
from isthmus.protocol.problem import Problem, Stage, problem

log = structlog.get_logger()

ACTION = "federation.call_out"
COMPONENT = "component"
LONGEST_SUBJECT = 400
INFRA_UNPINNED = "infra_unpinned"


class Teller:
    """Tells each failure once."""

    def __init__(self, rows: Rows, snapshots: Snapshots) -> None:
        self._rows, self._snapshots = rows, snapshots

    def refusal(self, failure: Denied | CallFailed, domain: str, subject: str, request_id: str) -> Problem:
        """The problem document for `failure`, which is in the audit log when this returns."""
        document = problem_of(failure, request_id)
        facts: dict[str, Any] = {"stage": document.stage, "code": document.code, **failure.facts}
        if isinstance(failure, RemoteSaidNo):
            facts |= {"remote_status": failure.told.nested.status, "remote_request_id": failure.told.nested.request_id}
            facts |= {"remote_detail": failure.told.detail} if failure.told.detail else {}
        elif isinstance(failure, CallFailed):
            facts["what"] = failure.detail
        if failure.reason == INFRA_UNPINNED:
            self._rows.suspect("infra_domain_changed", domain, failure.facts)
        log.warning("call to a remote failed", subject=subject, request_id=request_id, reason=failure.reason, **facts)
        return self._told(document, failure.reason, subject, facts)

    def _told(self, document: Problem, reason: str, subject: str, facts: Mapping[str, Any]) -> Problem:
        view = self._snapshots.current
        # Who may use the socket is one of us, so no row is left out for being one of many.
        own = view.domain if view is not None else None
        subject = subject[:LONGEST_SUBJECT]
        try:
            self._rows.tell(Fact(ACTION, COMPONENT, subject, "denied", document.request_id, reason, facts, own))
        except Overloaded as error:
            return problem("overloaded", Stage.FEDERATOR_OUT, document.request_id, str(error), retry_after=1)
        return document


def problem_of(failure: Denied | CallFailed, request_id: str) -> Problem:
    if isinstance(failure, Denied):
        detail = failure.detail or failure.code.replace("_", " ")
        return problem(failure.code, Stage.FEDERATOR_OUT, request_id, detail, **failure.members)
    if not isinstance(failure, RemoteSaidNo):
        return problem(failure.code, Stage.FEDERATOR_OUT, request_id, failure.detail)
    members: dict[str, Any] = {"remote": failure.told.nested}
    if failure.retry_after is not None:
        members["retry_after"] = failure.retry_after
    return problem(failure.code, Stage.REMOTE, request_id, failure.detail, **members)
