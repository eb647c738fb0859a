"""Messages that a remote has not acknowledged."""

from typing import Annotated

from fastapi import Path, Query

from isthmus.server.adapters.api.federation_views import DropBody, DroppedView, MessageView, RetriedView
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls
from isthmus.server.application.remotes import remote_domain
from isthmus.server.federation_records import Lane

router = api_router("remotes")


@router.get("/remotes/{domain}/messages", operation_id="listMessages")
async def list_messages(
    domain: str,
    calls: Calls,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=64, description="the `next` of the page before")] = None,
) -> Listing[MessageView]:
    """What a remote has not acknowledged, in the order of sending; also after its removal, until it has heard of it."""
    found = await calls.federation.messages.of(remote_domain(domain))
    names = [f"{each.lane}/{each.number}" for each in found]
    start = names.index(after) + 1 if after in names else 0
    items = [MessageView.model_validate(each) for each in found[start : start + limit]]
    end = start + len(items)
    return Listing(items=items, next=names[end - 1] if end < len(found) else None)


@router.post("/remotes/{domain}/messages/retry", operation_id="retryMessages")
async def retry(domain: str, calls: Calls, by: By) -> RetriedView:
    """Try all of them again at once, also those that the remote refused for ever."""
    return RetriedView(messages=await calls.federation.messages.retry(by, remote_domain(domain)))


@router.post("/remotes/{domain}/messages/{lane}/{number}/drop", operation_id="dropMessage")
async def drop(
    domain: str, lane: Lane, number: Annotated[int, Path(ge=1, le=2**62)], body: DropBody, calls: Calls, by: By
) -> DroppedView:
    """Give a message up, so that its lane goes on. In the lane `state` a notice of how things are takes its number."""
    instead = await calls.federation.messages.drop(by, remote_domain(domain), lane, number, body.reason)
    return DroppedView(instead=None if instead is None else MessageView.model_validate(instead))
