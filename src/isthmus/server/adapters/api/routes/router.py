"""How a router of this API is made: its prefix, its guard, and what its errors look like."""

from typing import Any

from fastapi import APIRouter, Depends

from isthmus.server.adapters.http.access import API
from isthmus.server.adapters.http.deps import authorize, refuse_unknown_parameters

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused; `code` says by which rule.", "content": PROBLEM},
    "5XX": {"description": "Failed inside the server; `retryable` says whether to try again.", "content": PROBLEM},
}


def api_router(tag: str, prefix: str = API) -> APIRouter:
    """A router whose every route is guarded by the access table."""
    guards = [Depends(authorize), Depends(refuse_unknown_parameters)]
    return APIRouter(prefix=prefix, tags=[tag], dependencies=guards, responses=PROBLEMS)
