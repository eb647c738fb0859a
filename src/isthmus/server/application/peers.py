"""Peers: create by kind, change, delete; enrollment tokens and the configs of static peers."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from isthmus.domain.accounts import WRITE
from isthmus.domain.errors import ConfigAlreadyShown, Forbidden, TransitionNotAllowed
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.enrollment import LIFETIME, EnrollmentToken, check_lifetime
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.server.application.addressing import give_back_expired
from isthmus.server.application.caller import Caller
from isthmus.server.application.incidents import close_all
from isthmus.server.application.networks import check_version, named_fields
from isthmus.server.application.patch import chosen
from isthmus.server.application.peer_steps import Draft, Issued, PeerSteps, Update, issue, unique
from isthmus.server.application.revisions import Step, advance
from isthmus.server.application.static_config import StaticConfig, around, rendered
from isthmus.server.ports import Clock, Ids, Listeners, Store, Transaction, Vault
from isthmus.server.records import Group, Page, PeerFilter
from isthmus.wireguard.keys import PrivateKey

__all__ = ["Created", "Draft", "Issued", "PeerService", "Update", "unique"]


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
        self._listeners = listeners
        self._vault = vault
        self._steps = PeerSteps(ids, vault)

    async def create(self, caller: Caller, network_id: NetworkId, draft: Draft) -> Created:
        check_power(caller, draft.kind, draft.additional_allowed_ips)
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock(network_id)
            await give_back_expired(tx, network_id, now)
            made = await self._steps.create(tx, network, draft, now)
            peer, network, config = made.peer, made.commit.at, None
            if made.token is None:
                config = rendered(network, await around(tx, network_id), peer, made.private)
            await tx.journal.audit([caller.did("peer.create", peer.id, now, name=peer.name, kind=peer.kind.value)])
        self._listeners.changed(made.commit)
        return Created(peer, network, made.token, config)

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

    async def groups(
        self, of: frozenset[NetworkId] | None, limit: int, after: tuple[NetworkId, str] | None = None
    ) -> list[tuple[Group, Network]]:
        """The groups that peers are in, of some networks or all, in order of network and name."""
        async with self._store.reading() as tx:
            groups = await tx.peers.groups(of, limit, after)
            networks = {each: await tx.networks.get(each) for each in {group.network_id for group in groups}}
            return [(group, networks[group.network_id]) for group in groups]

    async def update(
        self, caller: Caller, peer_id: PeerId, update: Update, version: int | None
    ) -> tuple[Peer, Network]:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            before = await tx.peers.get(peer_id)
            check_power(caller, before.kind, chosen(update.additional_allowed_ips, before.additional_allowed_ips))
            check_version(before.version, version)
            changed = await self._steps.update(tx, network, before, update, now)
            await tx.journal.audit([caller.did("peer.update", peer_id, now, fields=named_fields(update))])
        if changed.commit is not None:
            self._listeners.changed(changed.commit)
        return changed.peer, changed.network

    async def delete(self, caller: Caller, peer_id: PeerId, version: int | None, *, force: bool) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            peer = await tx.peers.get(peer_id)
            check_version(peer.version, version)
            closed = await close_all(tx, caller, peer, now)
            commit = await self._steps.delete(tx, network, peer, now, force=force)
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
            issued = await issue(tx, peer_id, lifetime, now)
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
            config = rendered(network, await around(tx, network.id), peer, private)
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
                await self._steps.keep(tx, peer_id, private)
            config = rendered(network, await around(tx, network.id), after, private)
            await tx.journal.audit([caller.did("peer.regenerate", peer_id, now)])
        self._listeners.changed(commit)
        return config


def check_power(caller: Caller, kind: Kind, ranges: Collection[object]) -> None:
    """Refuse to let somebody who may make peers take the traffic of others: by a jump peer, or a peer with ranges.

    Raises `Forbidden`.
    """
    if WRITE not in caller.scopes and (kind is Kind.JUMP or ranges):
        raise Forbidden(f"a jump peer, and a peer with ranges behind it, takes the scope {WRITE}")


async def _static(tx: Transaction, peer_id: PeerId) -> Peer:
    peer = await tx.peers.get(peer_id)
    if peer.kind is not Kind.STATIC:
        raise TransitionNotAllowed(peer.name, "is kept up to date by its agent and has no config to hand out")
    return peer
