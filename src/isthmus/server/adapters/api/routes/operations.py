"""Health and the audit log."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Query, Response

from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import AuditView, Listing, LiveView, ReadyView
from isthmus.server.adapters.http.deps import Calls
from isthmus.server.ports import StoreUnavailable

router = api_router("operations")


@router.get("/health/live", operation_id="isAlive")
async def live() -> LiveView:
    """Answers as long as the process does."""
    return LiveView(status="alive")


@router.get("/health/ready", operation_id="isReady", responses={503: {"model": ReadyView}})
async def ready(calls: Calls, response: Response) -> ReadyView:
    """Whether requests can be served, part by part."""
    parts = {"store": "ok"}
    try:
        await calls.store.check()
    except StoreUnavailable:
        parts["store"] = "not writable"
    certificates = calls.federation.certificates
    if certificates.problem is not None:
        # Told without the name of the file: whoever asks need not be known.
        parts["certificates"] = "lapsed" if certificates.has_lapsed else "not renewed"
    if parts["store"] == "ok" and not certificates.has_lapsed:
        return ReadyView(status="ready", parts=parts)
    response.status_code = 503
    return ReadyView(status="not_ready", parts=parts)


@router.get("/audit", operation_id="listAudit")
async def audit(
    calls: Calls,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="the `next` of the page before")] = None,
) -> Listing[AuditView]:
    """What was done and what was denied, newest first."""
    async with calls.store.reading() as tx:
        rows = await tx.journal.audit_page(limit, before)
    items = [AuditView(number=row.number, **asdict(row.entry)) for row in rows]
    return Listing(items=items, next=str(items[-1].number) if len(items) == limit else None)
