"""Peers: create by kind, change, delete; enrollment tokens and the configs of static peers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.domain.errors import ConfigAlreadyShown, InvalidValue, TransitionNotAllowed
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh import peer as rules
from isthmus.domain.mesh.enrollment import LIFETIME, EnrollmentToken, check_lifetime
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.server.application import addressing, secrets
from isthmus.server.application.addressing import QUARANTINE, Wanted
from isthmus.server.application.caller import Caller
from isthmus.server.application.incidents import close_all
from isthmus.server.application.networks import check_version, named_fields
from isthmus.server.application.patch import UNSET, Maybe, Unset, chosen
from isthmus.server.application.revisions import Step, advance
from isthmus.server.application.static_config import StaticConfig, parse_public_key, rendered
from isthmus.server.ports import Clock, Ids, KeyTaken, Listeners, NameTaken, Store, Transaction, Vault
from isthmus.server.records import KeptKey, Page, PeerFilter
from isthmus.wireguard.keys import PrivateKey


@dataclass(frozen=True, slots=True)
class Draft:
    """What an operator says of a new peer. `public_key` and `keep_private_key` are for static peers."""

    name: str
    kind: Kind = Kind.DYNAMIC
    endpoint: str | None = None
    public_key: str | None = None
    keep_private_key: bool = False
    wanted: Wanted = field(default_factory=Wanted)
    isolated: bool = False
    full_encapsulation: bool = False
    additional_allowed_ips: Sequence[str] = ()
    owner: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    token_lifetime: timedelta = LIFETIME


@dataclass(frozen=True, slots=True)
class Update:
    name: Maybe[str] = UNSET
    endpoint: Maybe[str | None] = UNSET
    public_key: Maybe[str] = UNSET
    isolated: Maybe[bool] = UNSET
    full_encapsulation: Maybe[bool] = UNSET
    additional_allowed_ips: Maybe[Sequence[str]] = UNSET
    owner: Maybe[str | None] = UNSET
    labels: Maybe[Mapping[str, str]] = UNSET


@dataclass(frozen=True, slots=True)
class Issued:
    """An enrollment token at the only moment when its text is known."""

    text: str = field(repr=False)
    prefix: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """A new peer with what is shown once: a token for its agent, or the config of a static peer."""

    peer: Peer
    network: Network
    token: Issued | None = None
    config: StaticConfig | None = None


class PeerService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, listeners: Listeners, vault: Vault) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._listeners = listeners
        self._vault = vault

    async def create(self, caller: Caller, network_id: NetworkId, draft: Draft) -> Created:
        now = self._clock.now()
        check_lifetime(draft.token_lifetime)
        async with self._store.transaction() as tx:
            before = await tx.networks.lock(network_id)
            private = PrivateKey.generate() if draft.kind is Kind.STATIC and draft.public_key is None else None
            peer = await self._drafted(tx, before, draft, private, now)
            commit = await advance(tx, before, Step("peer.created", peer.id, None, peer), now)
            network, (peer,) = commit.at, commit.changed
            with unique():
                await tx.peers.add(peer)
            token = await self._issue(tx, peer.id, draft.token_lifetime, now) if peer.kind.has_agent else None
            if private is not None and draft.keep_private_key:
                await self._keep(tx, peer.id, private)
            config = None if token else rendered(network, await tx.peers.in_every_config(network_id), peer, private)
            await tx.journal.audit([caller.did("peer.create", peer.id, now, name=peer.name, kind=peer.kind.value)])
        self._listeners.changed(commit)
        return Created(peer, network, token, config)

    async def _drafted(
        self, tx: Transaction, network: Network, draft: Draft, private: PrivateKey | None, now: datetime
    ) -> Peer:
        name = rules.parse_name(draft.name)
        endpoint = None if draft.endpoint is None else Endpoint.parse(draft.endpoint)
        given = None if draft.public_key is None else parse_public_key(draft.public_key)
        rules.check_kind_has_what_it_needs(draft.kind, endpoint, given)
        if draft.keep_private_key and private is None:
            raise InvalidValue("/keep_private_key", "is for static peers whose key the server makes")
        offers = rules.parse_offers(draft.additional_allowed_ips, network)
        await _check_offers(tx, network.id, None, offers)
        peer_id = PeerId(self._ids.new())
        peer = Peer(
            id=peer_id,
            network_id=network.id,
            name=name,
            kind=draft.kind,
            addresses=await addressing.allocate(tx, network, peer_id, now, draft.wanted),
            created_at=now,
            public_key=given if private is None else PublicKey(str(private.public())),
            endpoint=endpoint,
            isolated=draft.isolated,
            full_encapsulation=draft.full_encapsulation,
            additional_allowed_ips=offers,
            owner=None if draft.owner is None else rules.parse_text(draft.owner, "/owner"),
            labels=rules.parse_labels(draft.labels),
            server_made_key=private is not None,
            key_changed_at=now if private is not None or given is not None else None,
        )
        rules.check_flags(peer)
        return peer

    async def get(self, peer_id: PeerId) -> tuple[Peer, Network, EnrollmentToken | None]:
        async with self._store.reading() as tx:
            peer = await tx.peers.get(peer_id)
            tokens = await tx.enrollments.of_peers([peer_id])
            return peer, await tx.networks.get(peer.network_id), tokens.get(peer_id)

    async def page(self, page: Page, where: PeerFilter) -> list[tuple[Peer, Network, EnrollmentToken | None]]:
        async with self._store.reading() as tx:
            peers = await tx.peers.page(page, where)
            networks = {network_id: await tx.networks.get(network_id) for network_id in {p.network_id for p in peers}}
            waiting = [peer.id for peer in peers if peer.kind.has_agent]
            tokens = await tx.enrollments.of_peers(waiting)
            return [(peer, networks[peer.network_id], tokens.get(peer.id)) for peer in peers]

    async def update(
        self, caller: Caller, peer_id: PeerId, update: Update, version: int | None
    ) -> tuple[Peer, Network]:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            before = await tx.peers.get(peer_id)
            check_version(before.version, version)
            after, commit = await self._updated(tx, network, before, update), None
            if after != before:
                after = replace(after, version=before.version + 1)
                commit = await advance(tx, network, Step("peer.changed", peer_id, before, after), now)
                network, (after,) = commit.at, commit.changed
                with unique():
                    await tx.peers.save(after)
            await tx.journal.audit([caller.did("peer.update", peer_id, now, fields=named_fields(update))])
        if commit is not None:
            self._listeners.changed(commit)
        return after, network

    async def _updated(self, tx: Transaction, network: Network, before: Peer, update: Update) -> Peer:
        after = before
        if not isinstance(update.name, Unset) and update.name != before.name:
            after = replace(after, name=rules.parse_name(update.name))
        if not isinstance(update.endpoint, Unset):
            after = replace(after, endpoint=None if update.endpoint is None else Endpoint.parse(update.endpoint))
        if not isinstance(update.public_key, Unset):
            after = await _with_key(tx, before, after, update.public_key)
        if not isinstance(update.additional_allowed_ips, Unset):
            offers = rules.parse_offers(update.additional_allowed_ips, network)
            await _check_offers(tx, network.id, before.id, offers)
            after = replace(after, additional_allowed_ips=offers)
        if not isinstance(update.owner, Unset):
            after = replace(after, owner=None if update.owner is None else rules.parse_text(update.owner, "/owner"))
        if not isinstance(update.labels, Unset):
            after = replace(after, labels=rules.parse_labels(update.labels))
        after = replace(
            after,
            isolated=chosen(update.isolated, before.isolated),
            full_encapsulation=chosen(update.full_encapsulation, before.full_encapsulation),
        )
        rules.check_kind_has_what_it_needs(after.kind, after.endpoint, None)
        rules.check_flags(after)
        return after

    async def delete(self, caller: Caller, peer_id: PeerId, version: int | None, *, force: bool) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            before = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            peer = await tx.peers.get(peer_id)
            check_version(peer.version, version)
            if peer.is_jump:
                await _check_may_leave(tx, peer, force=force)
            commit = await advance(tx, before, Step("peer.deleted", peer_id, peer, None), now)
            await addressing.quarantine(tx, before.id, peer.addresses, now + QUARANTINE)
            closed = await close_all(tx, caller, peer, now)
            await tx.peers.delete(peer_id)
            await tx.journal.audit([caller.did("peer.delete", peer_id, now, name=peer.name)])
        self._listeners.changed(replace(commit, incidents=closed))

    async def new_token(self, caller: Caller, peer_id: PeerId, lifetime: timedelta = LIFETIME) -> Issued:
        """A fresh enrollment token; the old one ends, a running agent goes on until another enrolls."""
        now = self._clock.now()
        check_lifetime(lifetime)
        async with self._store.transaction() as tx:
            peer = await tx.peers.get(peer_id)
            if not peer.kind.has_agent:
                raise TransitionNotAllowed(peer.name, "is a static peer and has no agent", "regenerate its config")
            issued = await self._issue(tx, peer_id, lifetime, now)
            await tx.journal.audit([caller.did("peer.token", peer_id, now)])
        return issued

    async def config(self, caller: Caller, peer_id: PeerId) -> StaticConfig:
        """A static peer's config as it is now; refused when the server made its key and did not keep it.

        Whoever gets a kept key leaves a row in the audit log.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await _static(tx, peer_id)).network_id)
            peer = await _static(tx, peer_id)
            kept = await tx.kept_keys.get(peer_id)
            if kept is None and peer.server_made_key:
                raise ConfigAlreadyShown(peer.name)
            private = None if kept is None else PrivateKey(self._vault.open(kept.sealed, peer_id))
            config = rendered(network, await tx.peers.in_every_config(network.id), peer, private)
            await tx.journal.audit([caller.did("peer.config", peer_id, now, with_key=kept is not None)])
        return config

    async def regenerate(self, caller: Caller, peer_id: PeerId) -> StaticConfig:
        """A new key pair for a static peer, and its config, shown this once; the old key is out of every config."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            before = await _static(tx, peer_id)
            private = PrivateKey.generate()
            key = PublicKey(str(private.public()))
            after = replace(
                before, public_key=key, server_made_key=True, key_changed_at=now, version=before.version + 1
            )
            commit = await advance(tx, network, Step("peer.rekeyed", peer_id, before, after), now)
            network, (after,) = commit.at, commit.changed
            await tx.peers.save(after)
            if await tx.kept_keys.get(peer_id) is not None:
                await self._keep(tx, peer_id, private)
            config = rendered(network, await tx.peers.in_every_config(network.id), after, private)
            await tx.journal.audit([caller.did("peer.regenerate", peer_id, now)])
        self._listeners.changed(commit)
        return config

    async def _issue(self, tx: Transaction, peer_id: PeerId, lifetime: timedelta, now: datetime) -> Issued:
        token = secrets.new_token(secrets.ENROLLMENT)
        expires_at = now + lifetime
        await tx.enrollments.put(EnrollmentToken(peer_id, token.digest, token.prefix, now, expires_at))
        return Issued(token.text, token.prefix, expires_at)

    async def _keep(self, tx: Transaction, peer_id: PeerId, private: PrivateKey) -> None:
        await tx.kept_keys.put(KeptKey(peer_id, self._vault.seal(bytes.fromhex(private.reveal_hex()), peer_id)))


async def _check_may_leave(tx: Transaction, jump: Peer, *, force: bool) -> None:
    peers, jumps = await tx.peers.count(jump.network_id), await tx.peers.count(jump.network_id, Kind.JUMP)
    rules.check_may_leave(jump, other_jumps=jumps - 1, other_peers=peers - jumps, force=force)


@contextmanager
def unique() -> Iterator[None]:
    """Around writing a peer: what the store's constraints found taken is refused as the field's fault."""
    try:
        yield
    except NameTaken:
        raise InvalidValue("/name", "is the name of another peer of this network") from None
    except KeyTaken:
        # One key, one peer: WireGuard knows a peer by nothing else.
        hint = "make a new key pair: wg genkey | wg pubkey"
        raise InvalidValue("/public_key", "is the key of another peer", hint) from None


async def _check_offers(
    tx: Transaction, network_id: NetworkId, own: PeerId | None, offers: Sequence[IPNetwork]
) -> None:
    if offers:
        others = [(name, offer) for peer_id, name, offer in await tx.peers.offers(network_id) if peer_id != own]
        rules.check_offers_are_free(offers, others)


async def _with_key(tx: Transaction, before: Peer, after: Peer, text: str) -> Peer:
    """`after` with a key whose private half its owner has; the one that the server made, and perhaps kept, ends."""
    if before.kind is not Kind.STATIC:
        raise InvalidValue("/public_key", "belongs to static peers", "an agent makes its own key when it enrolls")
    key = parse_public_key(text)
    if key == before.public_key:
        return after
    await tx.kept_keys.delete(before.id)
    return replace(after, public_key=key, server_made_key=False)


async def _static(tx: Transaction, peer_id: PeerId) -> Peer:
    peer = await tx.peers.get(peer_id)
    if peer.kind is not Kind.STATIC:
        raise TransitionNotAllowed(peer.name, "is kept up to date by its agent and has no config to hand out")
    return peer
