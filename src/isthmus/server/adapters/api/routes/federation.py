"""Our own facts in the federation, and what looked wrong."""

from typing import Annotated

from fastapi import Query, Response

from isthmus.server.adapters.api.federation_views import FederationPatch, FederationView, FindingView, InitBody
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag
from isthmus.server.application.federation_facts import Draft, Update
from isthmus.server.federation_records import Federation

router = api_router("federation")


@router.get("/federation", operation_id="getFederation")
async def get_federation(calls: Calls, response: Response) -> FederationView:
    """What this backend is to others."""
    return _shown(await calls.federation.facts.get(), response)


@router.post("/federation/init", operation_id="initFederation", status_code=201)
async def init_federation(body: InitBody, calls: Calls, by: By, response: Response) -> FederationView:
    """Make CA, certificates and keys, and say who we are; once."""
    draft = Draft(body.domain, body.infra_domains, body.strategy, body.service, body.listen)
    return _shown(await calls.federation.facts.init(by, draft), response)


@router.patch("/federation", operation_id="updateFederation")
async def update_federation(
    body: FederationPatch, calls: Calls, by: By, version: Version, response: Response
) -> FederationView:
    """Change strategy, infra domains, listener, service label, ports or shared roots; live, without a restart."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return _shown(await calls.federation.facts.update(by, Update(**given), version), response)


@router.get("/findings", operation_id="listFindings")
async def list_findings(
    calls: Calls, page: Paging, *, cleared: Annotated[bool, Query(description="also those whose cause is gone")] = False
) -> Listing[FindingView]:
    """What an operator should look at, newest first; the same of one subject is counted."""
    found = await calls.federation.findings.page(page.limit, page.after, cleared=cleared)
    items = [FindingView.of(each) for each in found]
    return Listing(items=items, next=cursor(items, page))


def _shown(facts: Federation, response: Response) -> FederationView:
    response.headers.update(etag(facts.version))
    return FederationView.of(facts)
