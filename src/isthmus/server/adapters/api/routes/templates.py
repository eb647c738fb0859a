"""Network templates."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.ids import TemplateId
from isthmus.domain.mesh.template import Template
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.template_views import TemplateBody, TemplatePatch, TemplateView
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag

router = api_router("templates")
NameFilter = Annotated[str | None, Query(pattern="^[a-z0-9-]{1,63}$")]


@router.get("/network-templates", operation_id="listTemplates")
async def list_templates(calls: Calls, page: Paging, name: NameFilter = None) -> Listing[TemplateView]:
    """Templates in the order in which they were made."""
    items = [TemplateView.of(template) for template in await calls.templates.page(page, name)]
    return Listing(items=items, next=cursor(items, page))


@router.post("/network-templates", operation_id="createTemplate", status_code=201)
async def create_template(body: TemplateBody, calls: Calls, by: By, response: Response) -> TemplateView:
    """Keep settings under a name; networks are made with them by `template`."""
    settings = body.model_dump(mode="json", exclude={"name"}, exclude_unset=True)
    return _shown(await calls.templates.create(by, body.name, settings), response)


@router.get("/network-templates/{template_id}", operation_id="getTemplate")
async def get_template(template_id: UUID, calls: Calls, response: Response) -> TemplateView:
    """One template."""
    return _shown(await calls.templates.get(TemplateId(template_id)), response)


@router.patch("/network-templates/{template_id}", operation_id="updateTemplate")
async def update_template(
    template_id: UUID, body: TemplatePatch, calls: Calls, by: By, version: Version, response: Response
) -> TemplateView:
    """Change a template. Networks that were made with it stay as they are."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    return _shown(await calls.templates.update(by, TemplateId(template_id), changes, version), response)


@router.delete("/network-templates/{template_id}", operation_id="deleteTemplate", status_code=204)
async def delete_template(template_id: UUID, calls: Calls, by: By, version: Version) -> None:
    """Delete a template. Networks that were made with it stay as they are."""
    await calls.templates.delete(by, TemplateId(template_id), version)


def _shown(template: Template, response: Response) -> TemplateView:
    response.headers.update(etag(template.version))
    return TemplateView.of(template)
