"""Many changes of one network's peers in one call."""

from uuid import UUID

from fastapi import Response

from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.api.bulk_views import (
    BulkBody,
    BulkConfigView,
    BulkPeerView,
    BulkRowView,
    BulkView,
    CreateOperation,
    DeleteOperation,
    Operation,
)
from isthmus.server.adapters.api.routes.peers import draft_of
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import IssuedView
from isthmus.server.adapters.http.deps import By, Calls
from isthmus.server.application import bulk
from isthmus.server.application.peer_steps import Update

router = api_router("peers")
NOT_CHANGES = {"action", "name", "new_name", "version"}


@router.post("/networks/{network_id}/peers/bulk", operation_id="changePeers")
async def change_peers(network_id: UUID, body: BulkBody, calls: Calls, by: By, response: Response) -> BulkView:
    """Create, update and delete peers: all or nothing. Tokens and configs in the answer are shown this once."""
    response.headers["Cache-Control"] = "no-store"
    operations = [_operation(each) for each in body.operations]
    rows = await calls.bulk.run(by, NetworkId(network_id), operations, dry_run=body.dry_run)
    return BulkView(dry_run=body.dry_run, rows=[_view(row) for row in rows])


def _operation(body: Operation) -> bulk.Operation:
    if isinstance(body, CreateOperation):
        return bulk.Create(draft_of(body))
    if isinstance(body, DeleteOperation):
        return bulk.Delete(body.name, body.version, body.force)
    fields = {name: getattr(body, name) for name in body.model_fields_set - NOT_CHANGES}
    if "new_name" in body.model_fields_set:
        fields["name"] = body.new_name
    return bulk.Change(body.name, Update(**fields), body.version)


def _view(row: bulk.Row) -> BulkRowView:
    peer, token, config = row.peer, row.token, row.config
    return BulkRowView(
        result=row.result,
        peer=BulkPeerView(id=peer.id, name=peer.name, kind=peer.kind, addresses=list(map(str, peer.addresses))),
        enrollment=None if token is None else IssuedView(token=token.text, expires_at=token.expires_at),
        config=None
        if config is None
        else BulkConfigView(text=config.text, filename=config.filename, reaches=config.reaches),
    )
