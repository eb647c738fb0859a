"""Grants: what remotes may do with resources of ours, and what they let ours do."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.federation.granting import Draft
from isthmus.domain.federation.names import BackendDomain, backend_domain
from isthmus.server.adapters.api.grant_views import (
    ExplainBody,
    ExplanationView,
    GrantBody,
    GrantDetailsView,
    GrantPatch,
    GrantRevokeBody,
    GrantView,
    HeldGrantView,
    IssuedGrantView,
    RotateBody,
)
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag
from isthmus.server.application.explain import Supposed

router = api_router("grants")
OfRemote = Annotated[str | None, Query(max_length=253, description="only grants to, or of, this remote")]


@router.get("/grants", operation_id="listGrants")
async def list_grants(calls: Calls, page: Paging, remote: OfRemote = None) -> Listing[GrantView]:
    """Grants that were given to remotes, ended ones included, oldest first."""
    found = await calls.federation.grants.page(page, domain_of(remote))
    return Listing(items=[GrantView.of(each, now()) for each in found], next=cursor(found, page))


@router.post("/grants", operation_id="createGrant", status_code=201)
async def create_grant(body: GrantBody, calls: Calls, by: By, response: Response) -> IssuedGrantView:
    """Grant somebody of a remote a resource, or a whole kind. The token is shown once; hand it over safely."""
    issued = await calls.federation.grants.create(by, Draft(**{name: getattr(body, name) for name in GIVEN}))
    response.headers.update(etag(issued.grant.version))
    return IssuedGrantView.of(issued, now())


@router.get("/grants/held", operation_id="listHeldGrants")
async def list_held(calls: Calls, page: Paging, remote: OfRemote = None) -> Listing[HeldGrantView]:
    """Grants that remotes have given to somebody of ours, as they said last."""
    found = await calls.federation.grants.held(page, domain_of(remote))
    return Listing(items=[HeldGrantView.of(each, now()) for each in found], next=cursor(found, page))


@router.get("/grants/{grant_id}", operation_id="getGrant")
async def get_grant(grant_id: UUID, calls: Calls, response: Response) -> GrantDetailsView:
    """One grant with its tokens, of which no secret part is kept."""
    grant, tokens = await calls.federation.grants.get(grant_id)
    response.headers.update(etag(grant.version))
    return GrantDetailsView.with_tokens(grant, tokens, now())


@router.patch("/grants/{grant_id}", operation_id="updateGrant")
async def update_grant(
    grant_id: UUID, body: GrantPatch, calls: Calls, by: By, version: Version, response: Response
) -> GrantView:
    """Change what a grant allows; it counts from the next call and packet on."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    grant = await calls.federation.grants.update(by, grant_id, changes, version)
    response.headers.update(etag(grant.version))
    return GrantView.of(grant, now())


@router.post("/grants/{grant_id}/revoke", operation_id="revokeGrant")
async def revoke_grant(grant_id: UUID, body: GrantRevokeBody, calls: Calls, by: By) -> GrantView:
    """Take a grant back, at once and for good."""
    return GrantView.of(await calls.federation.grants.revoke(by, grant_id, body.reason), now())


@router.post("/grants/{grant_id}/rotate", operation_id="rotateGrant", status_code=201)
async def rotate_grant(grant_id: UUID, body: RotateBody, calls: Calls, by: By) -> IssuedGrantView:
    """A new token, shown once; those of before end after the overlap."""
    overlap = timedelta(seconds=body.overlap)
    return IssuedGrantView.of(await calls.federation.grants.rotate(by, grant_id, overlap), now())


@router.delete("/grants/{grant_id}/tokens/{public_id}", operation_id="dropGrantToken", status_code=204)
async def drop_token(grant_id: UUID, public_id: str, calls: Calls, by: By) -> None:
    """End one token of a grant at once."""
    await calls.federation.grants.drop_token(by, grant_id, public_id)


@router.post("/grants/{grant_id}/explain", operation_id="explainGrant")
async def explain(grant_id: UUID, body: ExplainBody, calls: Calls) -> ExplanationView:
    """Why a call was denied, by its request id, or whether a supposed one would be."""
    explaining = calls.federation.explaining
    if body.request_id is not None:
        return ExplanationView.of(await explaining.recorded(grant_id, body.request_id))
    supposed = Supposed(body.instance, body.network, body.source, body.scope, body.resource_id)
    return ExplanationView.of(await explaining.supposed(grant_id, supposed))


GIVEN = tuple(GrantBody.model_fields)


def domain_of(remote: str | None) -> BackendDomain | None:
    return None if remote is None else backend_domain(remote, "/remote")


def now() -> datetime:
    return datetime.now(UTC)
