"""Health."""

from fastapi import Response

from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import LiveView, ReadyView
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
