"""The audit log and its chain."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AwareDatetime

from isthmus.domain.errors import InvalidValue
from isthmus.server.adapters.api.audit_views import AskedView, AuditView, ChainView, SealView
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls
from isthmus.server.audit_ports import AuditFilter
from isthmus.server.records import Outcome

router = api_router("audit")

Limit = Annotated[int, Query(ge=1, le=1000)]
BEGINNING = "; with a star at its end, what begins like that"
Text = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]


Moment = AwareDatetime | None


async def texts_of(
    action: Annotated[Text, Query(description=f"for example network.create{BEGINNING}")] = None,
    actor: Annotated[Text, Query(description=f"for example local or remote:b.example/*{BEGINNING}")] = None,
    subject: Annotated[Text, Query(description=f"what it was done to{BEGINNING}")] = None,
    outcome: Outcome | None = None,
) -> AuditFilter:
    return AuditFilter(action, actor, subject, None if outcome is None else outcome.value)


async def filter_of(
    texts: Annotated[AuditFilter, Depends(texts_of)],
    since: Annotated[Moment, Query(description="what was done then or later")] = None,
    until: Annotated[Moment, Query(description="what was done before then")] = None,
) -> AuditFilter:
    return replace(texts, since=since, until=until)


@router.get("/audit", operation_id="listAudit")
async def list_audit(
    calls: Calls,
    wanted: Annotated[AuditFilter, Depends(filter_of)],
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="the `next` of the page before")] = None,
    after: Annotated[
        int | None, Query(ge=0, le=2**62, description="oldest first: 0, then the `next` of the page before")
    ] = None,
) -> Listing[AuditView]:
    """What was done and what was denied, newest first, or oldest first with `after`. A page with a filter may hold few
    rows or none and still have a `next`: each looks at a part of the log."""
    if before is not None and after is not None:
        raise InvalidValue("/after", "was given together with before", "give one of them")
    if after is not None:
        page = await calls.audit_log.oldest(limit, after, wanted)
    else:
        page = await calls.audit_log.newest(limit, before, wanted)
    return Listing(items=[AuditView.of(row) for row in page.rows], next=None if page.next is None else str(page.next))


@router.get("/audit/chain", operation_id="getAuditChain")
async def get_chain(calls: Calls) -> ChainView:
    """How far the log, its links and its seals are."""
    return ChainView.of(await calls.audit_log.chain())


@router.get("/audit/seals", operation_id="listAuditSeals")
async def list_seals(
    calls: Calls,
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=2**62, description="the `next` of the page before")] = 0,
) -> Listing[SealView]:
    """The seals, oldest first."""
    items = [SealView.of_own(seal) for seal in await calls.audit_log.seals(limit, after)]
    return Listing(items=items, next=str(items[-1].number) if len(items) == limit else None)


@router.post("/audit/witnesses/ask", operation_id="askAuditWitnesses")
async def ask_witnesses(calls: Calls, by: By) -> list[AskedView]:
    """Ask all active remotes which heads of our log they hold, and whether it still contains them."""
    return [AskedView.of(asked) for asked in await calls.federation.witness.ask(by.request_id)]
