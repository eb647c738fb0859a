"""Peers, their enrollment tokens and the configs of static ones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.addresses import Family, IPAddress, parse_address, parse_label
from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.enrollment import EnrollmentToken, Session
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer, desired_revision, parse_text
from isthmus.server.adapters.api.qr import svg_of
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import (
    ConfigView,
    CreatedView,
    EnrollmentView,
    GroupView,
    IssuedView,
    KeyView,
    Listing,
    PeerBody,
    PeerName,
    PeerPatch,
    PeerView,
    RotationView,
    SessionView,
    StatusView,
    TokenLifetimeBody,
)
from isthmus.server.adapters.http.deps import By, Calls, Paging, Services, Version, etag
from isthmus.server.application.addressing import Wanted
from isthmus.server.application.peers import Draft, Update
from isthmus.server.application.static_config import StaticConfig
from isthmus.server.records import PeerFilter, PeerStatus

router = api_router("peers")
Label = Annotated[str | None, Query(pattern="^[a-z0-9-]{1,63}$")]
Labels = Annotated[
    Sequence[str],
    Query(max_length=32, description="`key=value`; may be given more than once", examples=[["site=north"]]),
]
Row = tuple[Peer, Network, EnrollmentToken | None]


@router.get("/peers", operation_id="listPeers")
async def list_peers(
    calls: Calls,
    by: By,
    page: Paging,
    network: UUID | None = None,
    kind: Kind | None = None,
    name: Label = None,
    search: Label = None,
    enrolled: bool | None = None,
    group: Label = None,
    label: Labels = (),
    blocked: bool | None = None,
) -> Listing[PeerView]:
    """Peers of all networks or of one, in the order in which they were made."""
    of_network = None if network is None else NetworkId(network)
    where = PeerFilter(of_network, kind, name, search, enrolled, group, _labels(label), blocked, by.networks)
    items = await _views(calls, await calls.peers.page(page, where))
    return Listing(items=items, next=cursor(items, page))


@router.post("/networks/{network_id}/peers", operation_id="createPeer", status_code=201)
async def create_peer(network_id: UUID, body: PeerBody, calls: Calls, by: By, response: Response) -> CreatedView:
    """Make a peer. The enrollment token or the config in the answer is shown this once."""
    response.headers["Cache-Control"] = "no-store"
    created = await calls.peers.create(by, NetworkId(network_id), draft_of(body))
    response.headers.update(etag(created.peer.version))
    token = created.token
    pending = EnrollmentView(state="not_needed")
    issued = None
    if token is not None:
        pending = EnrollmentView(state="pending", prefix=token.prefix, expires_at=token.expires_at)
        issued = IssuedView(token=token.text, expires_at=token.expires_at)
    return CreatedView(
        peer=_view(created.peer, created.network, pending, _status(calls, created.peer, PeerStatus(created.peer.id))),
        enrollment=issued,
        config=None if created.config is None else await _config_view(created.config),
    )


@router.get("/groups", operation_id="listGroups")
async def list_groups(
    calls: Calls,
    by: By,
    network: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100, description="the `next` of the page before")] = None,
) -> Listing[GroupView]:
    """The groups that peers are in, by network and name."""
    of = by.networks if network is None else by.those_of({NetworkId(network)})
    found = await calls.peers.groups(of, limit, _group_cursor(after))
    items = [
        GroupView(network=PeerName(id=network.id, name=network.name), name=group.name, peers=group.peers)
        for group, network in found
    ]
    last = items[-1] if len(items) == limit else None
    return Listing(items=items, next=None if last is None else f"{last.network.id}:{last.name}")


@router.get("/peers/{peer_id}", operation_id="getPeer")
async def get_peer(peer_id: UUID, calls: Calls, response: Response) -> PeerView:
    """One peer."""
    row = await calls.peers.get(PeerId(peer_id))
    response.headers.update(etag(row[0].version))
    return (await _views(calls, [row]))[0]


@router.patch("/peers/{peer_id}", operation_id="updatePeer")
async def update_peer(
    peer_id: UUID, body: PeerPatch, calls: Calls, by: By, version: Version, response: Response
) -> PeerView:
    """Change a peer; its network's hosts follow by themselves."""
    update = Update(**{name: getattr(body, name) for name in body.model_fields_set})
    await calls.peers.update(by, PeerId(peer_id), update, version)
    return await get_peer(peer_id, calls, response)


@router.delete("/peers/{peer_id}", operation_id="deletePeer", status_code=204)
async def delete_peer(peer_id: UUID, calls: Calls, by: By, version: Version, force: bool = False) -> None:
    """Delete a peer with its token and session. The last jump peer that others need takes `force`."""
    await calls.peers.delete(by, PeerId(peer_id), version, force=force)


@router.post("/peers/{peer_id}/enrollment-token", operation_id="newEnrollmentToken", status_code=201)
async def new_token(
    peer_id: UUID, calls: Calls, by: By, response: Response, body: TokenLifetimeBody | None = None
) -> IssuedView:
    """A fresh enrollment token, shown this once; the old one ends."""
    response.headers["Cache-Control"] = "no-store"
    lifetime = timedelta(seconds=(body or TokenLifetimeBody()).lifetime)
    issued = await calls.peers.new_token(by, PeerId(peer_id), lifetime)
    return IssuedView(token=issued.text, expires_at=issued.expires_at)


@router.get("/peers/{peer_id}/config", operation_id="getStaticConfig")
async def get_config(peer_id: UUID, calls: Calls, by: By, response: Response) -> ConfigView:
    """A static peer's config as of now; 410 when it held a key that was shown once and is not kept."""
    response.headers["Cache-Control"] = "no-store"
    return await _config_view(await calls.peers.config(by, PeerId(peer_id)))


@router.post("/peers/{peer_id}/config/regenerate", operation_id="regenerateStaticConfig")
async def regenerate(peer_id: UUID, calls: Calls, by: By, response: Response) -> ConfigView:
    """A new key pair for a static peer and its config, shown this once; the old key ends."""
    response.headers["Cache-Control"] = "no-store"
    return await _config_view(await calls.peers.regenerate(by, PeerId(peer_id)))


@router.post("/peers/{peer_id}/rotate-key", operation_id="rotateKey", status_code=202)
async def rotate_key(peer_id: UUID, calls: Calls, by: By, force: bool = False) -> RotationView:
    """Have a peer's agent make a new key, at once or as soon as it connects.

    A jump peer's key stands in the configs of static peers, which have to be handed out again: that takes `force`.
    """
    asked = await calls.keys.ask(by, PeerId(peer_id), force=force)
    peer = asked.peer
    return RotationView(
        peer=PeerName(id=peer.id, name=peer.name),
        public_key=str(peer.public_key),
        asked_at=peer.rekey_asked_at,
        waits_for=await calls.keys.waits_for(peer.id, calls.presence),
        reissue=[PeerName(id=each.id, name=each.name) for each in asked.reissue],
    )


@router.delete("/peers/{peer_id}/session", operation_id="revokeSession", status_code=204)
async def revoke_session(peer_id: UUID, calls: Calls, by: By) -> None:
    """End the session of a peer's agent at once. The host takes its tunnel down, and may enroll with a new token."""
    await calls.sessions.revoke(by, PeerId(peer_id))


async def _config_view(config: StaticConfig) -> ConfigView:
    qr_svg = await svg_of(config.text) if config.has_key else None
    return ConfigView(text=config.text, filename=config.filename, qr_svg=qr_svg, reaches=config.reaches)


def _labels(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of a label that peers must have and its value."""
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidValue("/label", "is not a label and its value", "write key=value, for example site=north")
        pairs.append((parse_label(key, "/label"), parse_text(value, "/label")))
    return tuple(pairs)


def _group_cursor(text: str | None) -> tuple[NetworkId, str] | None:
    if text is None:
        return None
    network, _, name = text.partition(":")
    try:
        return NetworkId(UUID(network)), parse_label(name, "/after")
    except ValueError:
        raise InvalidValue("/after", "is not the `next` of a page of groups") from None


def draft_of(body: PeerBody) -> Draft:
    """What a body says of a new peer; a wrong value is refused by the name of its field."""
    return Draft(
        name=body.name,
        kind=body.kind,
        endpoint=body.endpoint,
        public_key=body.public_key,
        keep_private_key=body.keep_private_key,
        wanted=Wanted(_address(body.address_v4, "/address_v4", 4), _address(body.address_v6, "/address_v6", 6)),
        isolated=body.isolated,
        full_encapsulation=body.full_encapsulation,
        additional_allowed_ips=body.additional_allowed_ips,
        owner=body.owner,
        labels=body.labels,
        groups=body.groups,
        token_lifetime=timedelta(seconds=body.token_lifetime),
    )


def _address(text: str | None, field: str, version: Family) -> IPAddress | None:
    return None if text is None else parse_address(text, field, version)


async def _views(calls: Services, rows: Sequence[Row]) -> list[PeerView]:
    peer_ids = [peer.id for peer, _, _ in rows]
    statuses, sessions = await calls.agents.statuses(peer_ids), await calls.sessions.of_peers(peer_ids)
    primaries = await calls.paths.primaries(peer.network_id for peer, _, _ in rows if peer.is_jump)
    carrying = {primary.id for primary in primaries.values()}
    views = []
    for peer, network, token in rows:
        view = _view(peer, network, _enrollment(peer, token), _status(calls, peer, statuses[peer.id]))
        view.session = _session(sessions.get(peer.id, ()))
        if peer.is_jump:
            view.role = "primary" if peer.id in carrying else "standby"
        views.append(view)
    return views


def _session(sessions: Sequence[Session]) -> SessionView | None:
    # A newer token, if there is one, was not presented yet.
    return next((SessionView(since=each.created_at, rotated_at=each.rotated_at) for each in sessions), None)


def _enrollment(peer: Peer, token: EnrollmentToken | None) -> EnrollmentView:
    if not peer.kind.has_agent:
        return EnrollmentView(state="not_needed")
    if token is None or token.used_at is not None:
        return EnrollmentView(state="enrolled" if peer.public_key else "expired")
    over = datetime.now(UTC) >= token.expires_at
    return EnrollmentView(state="expired" if over else "pending", prefix=token.prefix, expires_at=token.expires_at)


def _view(peer: Peer, network: Network, enrollment: EnrollmentView, status: StatusView) -> PeerView:
    return PeerView(
        id=peer.id,
        network=PeerName(id=network.id, name=network.name),
        name=peer.name,
        kind=peer.kind,
        addresses=[str(address) for address in peer.addresses],
        public_key=peer.public_key,
        endpoint=None if peer.endpoint is None else str(peer.endpoint),
        isolated=peer.isolated,
        full_encapsulation=peer.full_encapsulation,
        additional_allowed_ips=[str(offer) for offer in peer.additional_allowed_ips],
        owner=peer.owner,
        labels=dict(peer.labels),
        groups=list(peer.groups),
        version=peer.version,
        blocked=peer.blocked,
        created_at=peer.created_at,
        enrollment=enrollment,
        key=KeyView(changed_at=peer.key_changed_at, asked_at=peer.rekey_asked_at),
        desired_revision=desired_revision(network, peer),
        status=status,
    )


def _status(calls: Services, peer: Peer, status: PeerStatus) -> StatusView:
    liveness = calls.liveness.of(peer, status)
    return StatusView(
        state=liveness.state,
        since=liveness.since,
        connected=calls.presence.is_connected(peer.id),
        last_seen=status.last_seen,
        hostname=status.hostname,
        agent_version=status.agent_version,
        applied_revision=status.applied_revision,
        applied_error=status.applied_error,
        endpoint=status.endpoint,
        latest_handshake=status.latest_handshake,
        rx=status.rx,
        tx=status.tx,
    )
