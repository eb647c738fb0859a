"""The history of peers' configs."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.tunnel import Neighbour
from isthmus.server.adapters.api.history_views import (
    ConfigAtView,
    ConfigDiffView,
    ConfigRevisionsView,
    ConfigRevisionView,
    NeighbourView,
)
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.http.deps import Calls

router = api_router("peers")

# More than any network will count, and what a database still takes for a number.
HIGHEST = 2**62
Revision = Annotated[int, Path(ge=1, le=HIGHEST)]


@router.get("/peers/{peer_id}/config-revisions", operation_id="listConfigRevisions")
async def list_revisions(
    peer_id: UUID,
    calls: Calls,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=HIGHEST, description="the `next` of the page before")] = None,
) -> ConfigRevisionsView:
    """The revisions that changed what a peer is told, newest first. A page may hold none and still have a next."""
    listed = await calls.history.revisions(PeerId(peer_id), limit, before)
    items = [ConfigRevisionView.model_validate(item) for item in listed.items]
    return ConfigRevisionsView(
        items=items, begins=listed.begins, next=None if listed.before is None else str(listed.before)
    )


@router.get("/peers/{peer_id}/config-revisions/{revision}", operation_id="getConfigAt")
async def get_at(peer_id: UUID, revision: Revision, calls: Calls) -> ConfigAtView:
    """What a peer was told at a revision of its network."""
    found = await calls.history.at(PeerId(peer_id), revision)
    tunnel = found.tunnel
    return ConfigAtView(
        revision=found.revision,
        text=found.text,
        addresses=list(map(str, tunnel.addresses)),
        mtu=tunnel.mtu,
        listen_port=tunnel.listen_port,
        routes=list(map(str, tunnel.routes)),
        neighbours=[_neighbour(each) for each in tunnel.neighbours],
    )


@router.get("/peers/{peer_id}/config-revisions/{revision}/diff", operation_id="diffConfigs")
async def diff(
    peer_id: UUID,
    revision: Revision,
    calls: Calls,
    to: Annotated[int | None, Query(ge=1, le=HIGHEST, description="default: the present revision")] = None,
) -> ConfigDiffView:
    """What differs between what a peer was told at two revisions."""
    compared, text = await calls.history.diff(PeerId(peer_id), revision, to)
    causes = await calls.history.causes(PeerId(peer_id), revision, compared)
    shown = [ConfigRevisionView.model_validate(item) for item in causes]
    return ConfigDiffView(start=revision, to=compared, diff=text, causes=shown)


def _neighbour(of: Neighbour) -> NeighbourView:
    return NeighbourView(
        name=of.name,
        public_key=of.public_key,
        role=of.role.value,
        allowed_ips=list(map(str, of.allowed_ips)),
        endpoint=None if of.endpoint is None else str(of.endpoint),
        keepalive=of.keepalive,
        candidates=list(map(str, of.candidates)),
    )
