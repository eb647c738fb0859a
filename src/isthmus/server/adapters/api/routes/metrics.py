"""Metrics, for Prometheus and whatever else reads its text."""

from typing import Any

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.http.deps import Calls

# Where scrapers look for it unless they are told otherwise.
router = api_router("operations", prefix="")


TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/metrics", operation_id="getMetrics", response_class=Response, responses=TEXT)
async def metrics(calls: Calls) -> Response:
    """Figures of this backend as Prometheus reads them, at most five seconds old."""
    return Response(await calls.exposition.text(), media_type=CONTENT_TYPE_LATEST)
