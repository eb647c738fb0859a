"""Incidents: opened by findings, resolved by people. What blocks a peer commits with what says why."""

import asyncio
from dataclasses import replace
from datetime import datetime

import structlog

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import IncidentId, PeerId
from isthmus.domain.mesh.incident import Finding, Incident, Type, parse_reason
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.caller import Caller
from isthmus.server.application.notices import told_of
from isthmus.server.application.revisions import Step, advance
from isthmus.server.ports import Clock, Ids, IncidentOpen, Listeners, Store, StoreUnavailable, Transaction
from isthmus.server.records import Commit, IncidentFilter, Page

log = structlog.get_logger()

MOST_PENDING = 1_000
RETRY_SECONDS = 1.0
PEER_DELETED = "peer deleted"
SERVER = Caller("server", "")

Key = tuple[PeerId, Type]


class IncidentService:
    """Findings wait here for the database, one for each type and peer, so that no report waits for it."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, listeners: Listeners) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._listeners = listeners
        self._pending: dict[Key, Finding] = {}
        self._wake = asyncio.Event()
        self._open: dict[Key, bool] = {}
        self._blocking: dict[PeerId, IncidentId] = {}

    def report(self, finding: Finding) -> None:
        """Have an incident opened soon; one that is open already is not opened again."""
        key = (finding.peer_id, finding.type)
        waiting = self._pending.get(key)
        if self._says_nothing_new(finding) or (waiting is not None and waiting.blocks >= finding.blocks):
            return
        if waiting is None and len(self._pending) >= MOST_PENDING:
            log.error("too many findings wait for the database", peer=str(finding.peer_id), type=finding.type)
            return
        self._pending[key] = finding
        self._wake.set()

    async def work(self) -> None:
        """For ever: open what was reported."""
        while True:
            await self._wake.wait()
            try:
                await self.drain()
            except StoreUnavailable as error:
                log.error("incidents could not be stored and wait", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # a defect in one finding must not end the opening of all later ones
                log.error("opening an incident broke", exc_info=error)

    async def drain(self) -> None:
        """Open all that was reported until now. Raises `StoreUnavailable`, with nothing forgotten."""
        while self._pending:
            key = next(iter(self._pending))
            finding = self._pending.pop(key)
            try:
                await self.open(finding)
            except StoreUnavailable:
                self._pending.setdefault(key, finding)
                raise
        self._wake.clear()

    async def open(self, finding: Finding) -> Incident | None:
        """The open incident for `finding`: a new one, or the one of its type and peer that it confirms or repeats.

        None where the peer is gone.
        """
        try:
            incident, commit = await self._opened(finding)
        except IncidentOpen:
            incident, commit = await self._opened(finding)  # another server was faster: now there is one to fold into
        if commit is not None:
            self._listeners.changed(commit)
        return incident

    async def _opened(self, finding: Finding) -> tuple[Incident | None, Commit | None]:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            try:
                network = await tx.networks.lock((await tx.peers.get(finding.peer_id)).network_id)
                peer = await tx.peers.get(finding.peer_id)
            except NotFound:
                return None, None
            present = await tx.incidents.open_of_peer(peer.id)
            known = next((each for each in present if each.type is finding.type), None)
            incident = self._new(peer, finding, now) if known is None else known.confirmed_by(finding)
            if incident == known:
                self._open[peer.id, incident.type] = incident.blocks
                return incident, None
            await (tx.incidents.add if known is None else tx.incidents.save)(incident)
            commit = await _with_block(tx, network, peer, incident, now)
            action = "incident.open" if known is None else "incident.confirm"
            facts = {"peer": str(peer.id), "name": peer.name, "type": incident.type.value, "blocks": incident.blocks}
            await tx.journal.audit([SERVER.did(action, incident.id, now, **facts)])
        log.warning("incident", id=str(incident.id), peer=peer.name, type=incident.type.value, blocks=incident.blocks)
        return incident, commit

    def _new(self, peer: Peer, finding: Finding, now: datetime) -> Incident:
        return Incident(
            id=IncidentId(self._ids.new()),
            network_id=peer.network_id,
            peer_id=peer.id,
            peer_name=peer.name,
            type=finding.type,
            evidence=finding.evidence,
            blocks=finding.blocks,
            detected_at=now,
        )

    async def resolve(self, caller: Caller, incident_id: IncidentId, reason: str) -> Incident:
        """End an incident. Its peer returns to every config unless another one blocks it."""
        now, why = self._clock.now(), parse_reason(reason)
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.incidents.get(incident_id)).network_id)
            before = await tx.incidents.get(incident_id)
            after = before.resolved(caller.actor, why, now)
            await tx.incidents.save(after)
            commit = await _without_block(tx, network, after, now)
            facts = {"peer": str(after.peer_id), "name": after.peer_name, "type": after.type.value, "reason": why}
            await tx.journal.audit([caller.did("incident.resolve", incident_id, now, **facts)])
        self._listeners.changed(commit)
        return after

    async def get(self, incident_id: IncidentId) -> tuple[Incident, Network]:
        async with self._store.reading() as tx:
            incident = await tx.incidents.get(incident_id)
            return incident, await tx.networks.get(incident.network_id)

    async def page(self, page: Page, where: IncidentFilter) -> list[tuple[Incident, Network]]:
        """Newest first."""
        async with self._store.reading() as tx:
            found = await tx.incidents.page(page, where)
            networks = {each: await tx.networks.get(each) for each in {incident.network_id for incident in found}}
            return [(incident, networks[incident.network_id]) for incident in found]

    async def blocking(self, peer_id: PeerId) -> IncidentId | None:
        """The incident that blocks a peer, the first where there are several."""
        known = self._blocking.get(peer_id)
        if known is not None:
            return known
        async with self._store.reading() as tx:
            found = (await tx.incidents.blocking([peer_id])).get(peer_id)
        return found[0] if found else None

    def changed(self, commit: Commit) -> None:
        """Remember what is open, so that agents are answered and findings folded without a query."""
        for peer in commit.changed:
            if not peer.blocked:
                self._blocking.pop(peer.id, None)
        self._blocking.update(commit.blocked)
        for incident in commit.incidents:
            if incident.is_open:
                self._open[incident.peer_id, incident.type] = incident.blocks
            else:
                self._open.pop((incident.peer_id, incident.type), None)
        for peer_id in commit.removed:
            self._blocking.pop(peer_id, None)
            for kind in Type:
                self._open.pop((peer_id, kind), None)

    def _says_nothing_new(self, finding: Finding) -> bool:
        blocks = self._open.get((finding.peer_id, finding.type))
        return blocks is not None and blocks >= finding.blocks


async def _with_block(tx: Transaction, network: Network, peer: Peer, incident: Incident, now: datetime) -> Commit:
    """Put the peer on the access control list where `incident` says so; says what to tell."""
    told = Commit(network.id, network, event=told_of(incident), subject=incident.id, incidents=(incident,))
    if not incident.blocks:
        return told
    await tx.incidents.block(peer.id, incident.id)
    if peer.blocked:
        return told
    step = Step("incident.opened", peer.id, peer, replace(peer, blocked=True))
    commit = await advance(tx, network, step, now)
    await tx.peers.save(commit.changed[0])
    return replace(commit, event="peer.changed", blocked={peer.id: incident.id}, incidents=(incident,))


async def _without_block(tx: Transaction, network: Network, incident: Incident, now: datetime) -> Commit:
    """Take the peer off the list as far as `incident` put it there; says what to tell."""
    told = Commit(network.id, network, event=told_of(incident), subject=incident.id, incidents=(incident,))
    if not incident.blocks:
        return told
    peer = await tx.peers.get(incident.peer_id)
    await tx.incidents.unblock(incident.id)
    others = (await tx.incidents.blocking([peer.id])).get(peer.id)
    if others:
        return replace(told, blocked={peer.id: others[0]})
    step = Step("incident.resolved", peer.id, peer, replace(peer, blocked=False))
    commit = await advance(tx, network, step, now)
    await tx.peers.save(commit.changed[0])
    return replace(commit, event="peer.changed", incidents=(incident,))


async def close_all(tx: Transaction, caller: Caller, peer: Peer, now: datetime) -> tuple[Incident, ...]:
    """Resolve what is open for a peer that is deleted in this transaction."""
    closed = tuple(each.resolved(caller.actor, PEER_DELETED, now) for each in await tx.incidents.open_of_peer(peer.id))
    for incident in closed:
        await tx.incidents.save(incident)
        facts = {"peer": str(peer.id), "name": peer.name, "type": incident.type.value, "reason": PEER_DELETED}
        await tx.journal.audit([caller.did("incident.resolve", incident.id, now, **facts)])
    return closed
