"""To create, change or delete one peer inside a transaction that has locked its network: what a single call does once
and a bulk many times."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from isthmus.domain.addresses import Endpoint, IPAddress, IPNetwork
from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh import peer as rules
from isthmus.domain.mesh.enrollment import LIFETIME, EnrollmentToken, check_lifetime
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.server.application import addressing, secrets
from isthmus.server.application.addressing import QUARANTINE, Wanted
from isthmus.server.application.overlays import note_gone
from isthmus.server.application.patch import UNSET, Maybe, Unset, chosen
from isthmus.server.application.revisions import Step, advance
from isthmus.server.application.static_config import parse_public_key
from isthmus.server.ports import Ids, KeyTaken, NameTaken, Transaction, Vault
from isthmus.server.records import Commit, KeptKey
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
    groups: Sequence[str] = ()
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
    groups: Maybe[Sequence[str]] = UNSET


@dataclass(frozen=True, slots=True)
class Issued:
    """An enrollment token at the only moment when its text is known."""

    text: str = field(repr=False)
    prefix: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """A new peer, what to tell of it, and its secrets: a token for its agent or the key that was made for it."""

    peer: Peer
    commit: Commit
    token: Issued | None = None
    private: PrivateKey | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A peer after an update; `commit` None says that nothing of it was new."""

    peer: Peer
    network: Network
    commit: Commit | None = None


class PeerSteps:
    def __init__(self, ids: Ids, vault: Vault) -> None:
        self._ids = ids
        self._vault = vault

    async def create(self, tx: Transaction, network: Network, draft: Draft, now: datetime) -> Made:
        """A new peer; the caller has given back the addresses whose quarantine is over."""
        check_lifetime(draft.token_lifetime)
        private = PrivateKey.generate() if draft.kind is Kind.STATIC and draft.public_key is None else None
        drafted = await self._drafted(tx, network, draft, private, now)
        # Last of all that may be refused: what is valid by itself gets an address.
        drafted = replace(drafted, addresses=await addressing.allocate(tx, network, drafted.id, draft.wanted))
        commit = await advance(tx, network, Step("peer.created", drafted.id, None, drafted), now)
        (peer,) = commit.changed
        with unique():
            await tx.peers.add(peer)
        token = await issue(tx, peer.id, draft.token_lifetime, now) if peer.kind.has_agent else None
        if private is not None and draft.keep_private_key:
            await self.keep(tx, peer.id, private)
        return Made(peer, commit, token, private)

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
        peer = Peer(
            id=PeerId(self._ids.new()),
            network_id=network.id,
            name=name,
            kind=draft.kind,
            addresses=(),
            created_at=now,
            public_key=given if private is None else PublicKey(str(private.public())),
            endpoint=endpoint,
            isolated=draft.isolated,
            full_encapsulation=draft.full_encapsulation,
            additional_allowed_ips=offers,
            owner=None if draft.owner is None else rules.parse_text(draft.owner, "/owner"),
            labels=rules.parse_labels(draft.labels),
            groups=rules.parse_groups(draft.groups),
            server_made_key=private is not None,
            key_changed_at=now if private is not None or given is not None else None,
        )
        rules.check_flags(peer)
        return peer

    async def update(self, tx: Transaction, network: Network, before: Peer, update: Update, now: datetime) -> Changed:
        after = await _updated(tx, network, before, update)
        if after == before:
            return Changed(before, network)
        await _check_services(tx, before, after)
        after = replace(after, version=before.version + 1)
        commit = await advance(tx, network, Step("peer.changed", before.id, before, after), now)
        (after,) = commit.changed
        with unique():
            await tx.peers.save(after)
        return Changed(after, commit.at, commit)

    async def delete(self, tx: Transaction, network: Network, peer: Peer, now: datetime, *, force: bool) -> Commit:
        if peer.is_jump:
            await _check_may_leave(tx, peer, force=force)
        await _check_services(tx, peer, None)
        await note_gone(tx, peer)
        commit = await advance(tx, network, Step("peer.deleted", peer.id, peer, None), now)
        await addressing.quarantine(tx, network.id, peer.addresses, now + QUARANTINE)
        await tx.peers.delete(peer.id)
        return commit

    async def keep(self, tx: Transaction, peer_id: PeerId, private: PrivateKey) -> None:
        """Store a static peer's key, sealed, so that its config can be shown again."""
        await tx.kept_keys.put(KeptKey(peer_id, self._vault.seal(bytes.fromhex(private.reveal_hex()), peer_id)))


async def issue(tx: Transaction, peer_id: PeerId, lifetime: timedelta, now: datetime) -> Issued:
    token = secrets.new_token(secrets.ENROLLMENT)
    expires_at = now + lifetime
    await tx.enrollments.put(EnrollmentToken(peer_id, token.digest, token.prefix, now, expires_at))
    return Issued(token.text, token.prefix, expires_at)


@contextmanager
def unique() -> Iterator[None]:
    """Around writing a peer: what the store's constraints found taken is refused as the field's fault."""
    try:
        yield
    except NameTaken:
        raise name_taken() from None
    except KeyTaken:
        raise key_taken() from None


def name_taken() -> InvalidValue:
    return InvalidValue("/name", "is the name of another peer of this network")


def key_taken() -> InvalidValue:
    # One key, one peer: WireGuard knows a peer by nothing else.
    return InvalidValue("/public_key", "is the key of another peer", "make a new key pair: wg genkey | wg pubkey")


async def _updated(tx: Transaction, network: Network, before: Peer, update: Update) -> Peer:
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
    if not isinstance(update.groups, Unset):
        after = replace(after, groups=rules.parse_groups(update.groups))
    after = replace(
        after,
        isolated=chosen(update.isolated, before.isolated),
        full_encapsulation=chosen(update.full_encapsulation, before.full_encapsulation),
    )
    rules.check_kind_has_what_it_needs(after.kind, after.endpoint, None)
    rules.check_flags(after)
    return after


async def _check_may_leave(tx: Transaction, jump: Peer, *, force: bool) -> None:
    peers, jumps = await tx.peers.count(jump.network_id), await tx.peers.count(jump.network_id, Kind.JUMP)
    rules.check_may_leave(jump, other_jumps=jumps - 1, other_peers=peers - jumps, force=force)


async def _check_services(tx: Transaction, before: Peer, after: Peer | None) -> None:
    """Refuse to give an address up that a service names: grants would open it to whoever gets it next."""
    if after is not None and after.offers == before.offers:
        return
    services = [each for each in await tx.services.of_network(before.network_id) if _has(before, each.address)]
    left = [each.name for each in services if after is None or not _has(after, each.address)]
    if left:
        hint = f"delete the service first, or give it another address: isthmus service delete {left[0]}"
        raise TransitionNotAllowed(f"peer {before.name}", f"services are at its addresses: {', '.join(left)}", hint)


def _has(peer: Peer, address: IPAddress) -> bool:
    offered = any(address.version == offer.version and address in offer for offer in peer.offers)
    return offered or address in peer.addresses


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
