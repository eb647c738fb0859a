"""Remotes and invitations."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.remote import Remote
from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.api.federation_views import (
    AcceptBody,
    AcceptedView,
    BlockBody,
    ConfirmBody,
    ExaminationView,
    InvitationView,
    InviteBody,
    InvitedView,
    LinkView,
    RemoteDetailsView,
    RemoteInstanceView,
    RemotePatch,
    RemoteView,
    RevocationBody,
    RevocationView,
    SharedRemoteBody,
    invitation_fields,
)
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Version, etag
from isthmus.server.application.remotes import Named, Update, remote_domain

DOMAIN = r"^[a-z0-9-]+(\.[a-z0-9-]+)+$"

router = api_router("remotes")


@router.get("/remotes", operation_id="listRemotes")
async def list_remotes(
    calls: Calls,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[
        str | None, Query(max_length=253, pattern=DOMAIN, description="the `next` of the page before")
    ] = None,
) -> Listing[RemoteView]:
    """One entry of each domain, in order of domain: the live one, or the last that was revoked."""
    items = [RemoteView.of(each) for each in await calls.federation.remotes.page(limit, after)]
    return Listing(items=items, next=items[-1].domain if len(items) == limit else None)


@router.post("/remotes", operation_id="addRemote", status_code=201)
async def add_remote(body: SharedRemoteBody, calls: Calls, by: By, response: Response) -> RemoteView:
    """List a remote that the shared roots vouch for, active at once. All others are invited."""
    return _shown(await calls.federation.remotes.add_shared(by, body.domain, body.infra_domains), response)


@router.get("/remotes/invitations", operation_id="listInvitations")
async def list_invitations(
    calls: Calls,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[UUID | None, Query(description="the `next` of the page before")] = None,
) -> Listing[InvitationView]:
    """Invitations of the last 30 days, oldest first."""
    found = [each for each in await calls.federation.invitations.all() if after is None or each.id > after]
    now = datetime.now(UTC)
    items = [InvitationView.of(each, now) for each in found[:limit]]
    return Listing(items=items, next=str(items[-1].id) if len(found) > limit else None)


@router.post("/remotes/invitations", operation_id="invite", status_code=201)
async def invite(body: InviteBody, calls: Calls, by: By) -> InvitedView:
    """Invite one domain. The text is shown once; hand it to the operator there over a channel that you trust."""
    lifetime = timedelta(seconds=max(0, min(body.lifetime, 10**9)))
    network_id = None if body.network_id is None else NetworkId(body.network_id)
    made = await calls.federation.invitations.invite(by, body.domain, lifetime, network_id)
    return InvitedView(**invitation_fields(made.invitation, datetime.now(UTC)), text=made.text)


@router.delete("/remotes/invitations/{invitation_id}", operation_id="withdrawInvitation", status_code=204)
async def withdraw(invitation_id: UUID, calls: Calls, by: By) -> None:
    """Withdraw an open invitation."""
    await calls.federation.invitations.withdraw(by, invitation_id)


@router.post("/remotes/accept", operation_id="acceptInvitation", status_code=201)
async def accept(body: AcceptBody, calls: Calls, by: By) -> AcceptedView:
    """Accept an invitation of another backend, and tell it so at once. Compare the short code, then confirm it."""
    network_id = None if body.network_id is None else NetworkId(body.network_id)
    done = await calls.federation.invitations.accept(by, body.invitation, network_id)
    return AcceptedView.of(done.remote, done.problem)


@router.get("/remotes/{domain}", operation_id="getRemote")
async def get_remote(domain: str, calls: Calls, response: Response) -> RemoteDetailsView:
    """One remote with its instances, revocations, and what it has not acknowledged yet."""
    details = await calls.federation.remotes.details(remote_domain(domain))
    response.headers.update(etag(details.remote.version))
    return RemoteDetailsView.with_details(details)


@router.patch("/remotes/{domain}", operation_id="updateRemote")
async def update_remote(
    domain: str, body: RemotePatch, calls: Calls, by: By, version: Version, response: Response
) -> RemoteView:
    """Change what a remote may do; live, without a restart."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if "limits" in given:
        given["limits"] = body.limits.model_dump(exclude_unset=True)
    return _shown(await calls.federation.remotes.update(by, remote_domain(domain), Update(**given), version), response)


@router.post("/remotes/{domain}/confirm", operation_id="confirmRemote")
async def confirm(domain: str, body: ConfirmBody, calls: Calls, by: By, response: Response) -> RemoteView:
    """Say that the short code here and there is one. Once both operators have, the remote is active."""
    return _shown(await calls.federation.remotes.confirm(by, remote_domain(domain), body.short_code), response)


@router.post("/remotes/{domain}/suspend", operation_id="suspendRemote")
async def suspend(domain: str, calls: Calls, by: By, response: Response) -> RemoteView:
    """Cut a remote off at once, until it is resumed; it is told."""
    return _shown(await calls.federation.remotes.suspend(by, remote_domain(domain)), response)


@router.post("/remotes/{domain}/resume", operation_id="resumeRemote")
async def resume(domain: str, calls: Calls, by: By, response: Response) -> RemoteView:
    """Let a suspended remote go on."""
    return _shown(await calls.federation.remotes.resume(by, remote_domain(domain)), response)


@router.post("/remotes/{domain}/revoke", operation_id="revokeRemote")
async def revoke(domain: str, calls: Calls, by: By, response: Response) -> RemoteView:
    """Cut a remote off at once and for good; it is told. To begin anew, invite it: nothing of before is revived."""
    return _shown(await calls.federation.remotes.revoke(by, remote_domain(domain)), response)


@router.delete("/remotes/{domain}", operation_id="removeRemote", status_code=204)
async def remove(domain: str, calls: Calls, by: By) -> None:
    """Take a remote off the allow list: cut at once and for good, told so, and from then on a stranger."""
    await calls.federation.remotes.remove(by, remote_domain(domain))


@router.post("/remotes/{domain}/doctor", operation_id="examineRemote")
async def doctor(domain: str, calls: Calls, by: By) -> ExaminationView:
    """Look at every link of the chain to a remote, and say how each broken one is mended."""
    found = await calls.federation.doctor.examine(remote_domain(domain), by.request_id)
    links = [LinkView.model_validate(each) for each in found.findings]
    return ExaminationView(domain=found.domain, ok=all(each.ok for each in links), findings=links)


@router.get("/remotes/{domain}/revocations", operation_id="listRevocations")
async def list_revocations(domain: str, calls: Calls) -> Listing[RevocationView]:
    """Leaves and instances of a remote that count no more."""
    details = await calls.federation.remotes.details(remote_domain(domain))
    return Listing(items=[RevocationView.of(each) for each in details.revocations])


@router.post("/remotes/{domain}/revocations", operation_id="revokeLeaf", status_code=201)
async def revoke_leaf(domain: str, body: RevocationBody, calls: Calls, by: By) -> RevocationView:
    """Refuse a leaf or an instance of a remote for good, on connections that are open too."""
    named = Named(
        body.reason,
        (body.fingerprint and bytes.fromhex(body.fingerprint)) or None,
        None if body.serial is None else int(body.serial, 16),
        (body.key and bytes.fromhex(body.key)) or None,
        None if body.instance is None else InstanceId(body.instance),
    )
    return RevocationView.of(await calls.federation.remotes.revoke_leaf(by, remote_domain(domain), named))


@router.post("/remotes/{domain}/instances/{instance}/block", operation_id="blockInstance")
async def block(domain: str, instance: UUID, body: BlockBody, calls: Calls, by: By) -> RemoteInstanceView:
    """Refuse an instance of a remote until it is unblocked."""
    after = await calls.federation.remotes.block(by, remote_domain(domain), InstanceId(instance), body.reason)
    return RemoteInstanceView.model_validate(after)


@router.delete("/remotes/{domain}/instances/{instance}/block", operation_id="unblockInstance", status_code=204)
async def unblock(domain: str, instance: UUID, calls: Calls, by: By) -> None:
    """Admit an instance of a remote again."""
    await calls.federation.remotes.block(by, remote_domain(domain), InstanceId(instance), None)


def _shown(remote: Remote, response: Response) -> RemoteView:
    response.headers.update(etag(remote.version))
    return RemoteView.of(remote)
