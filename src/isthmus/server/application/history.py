"""The history of configs: which revisions changed what a peer is told, what it was told, and what differs."""

import asyncio
import contextlib
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Audience, Peer
from isthmus.domain.mesh.tunnel import Tunnel
from isthmus.server.application.caller import Caller
from isthmus.server.application.config_text import text_of
from isthmus.server.application.past import Past, whole_state
from isthmus.server.ports import Clock, Listeners, Store, Transaction
from isthmus.server.records import Change, Commit

# Revisions that one call looks through; who wants more asks for the next page.
WINDOW = 1_000
# Changes between two looks at whether others want the loop.
STRIDE = 50
MOST_CAUSES = 1_000
# Rows that one transaction removes, and by how much a history may outgrow its bound before any are.
MOST_REMOVED = 1_000
SLACK = 100


@dataclass(frozen=True, slots=True)
class ConfigRevision:
    """One change of a peer's config: whose change it was, `subject` being the name of a peer or of the network."""

    revision: int
    at: datetime
    event: str
    subject: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Newest first. `begins` is the network's first known revision; `before` continues the list, None at its end."""

    items: Sequence[ConfigRevision]
    begins: int
    before: int | None


@dataclass(frozen=True, slots=True)
class ConfigAt:
    """What a peer was told at a revision. No private key is in `text`: the server does not have it."""

    revision: int
    tunnel: Tunnel
    text: str


class HistoryService:
    """`keep`: of each network so many of the latest revisions can be asked for, a few more may be."""

    def __init__(self, store: Store, clock: Clock, listeners: Listeners, keep: int) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners
        self._keep = keep

    async def revisions(self, peer_id: PeerId, limit: int, before: int | None = None) -> Listed:
        """The revisions that changed the config of a peer, at most `limit`, all of them lower than `before`."""
        async with self._store.reading() as tx:
            peer, network, begins = await _around(tx, peer_id)
            top = network.revision if before is None else min(before - 1, network.revision)
            after = max(begins - 1, top - WINDOW)
            changes = await tx.journal.changes(network.id, after, max(0, top - after))
            past = await _past(tx, network.id, max(after, begins))
        items: list[ConfigRevision] = []
        if after < begins and changes:
            # What was before the first known revision cannot be told, so that one is where each config begins.
            first, *changes = changes
            if peer.id in past.peers:
                items.append(ConfigRevision(first.revision, first.at, first.event, _name(past, first)))
        for number, change in enumerate(changes):
            name = _name(past, change)
            if past.moves(change, peer.id):
                items.append(ConfigRevision(change.revision, change.at, change.event, name or _name(past, change)))
            if number % STRIDE == 0:
                await asyncio.sleep(0)
        items.reverse()
        if len(items) > limit:
            return Listed(items[:limit], begins, items[limit - 1].revision)
        return Listed(items, begins, after + 1 if after >= begins else None)

    async def at(self, peer_id: PeerId, revision: int | None = None) -> ConfigAt:
        """What the peer was told at `revision`, None: at the present one. Raises `NotFound` beyond the history."""
        async with self._store.reading() as tx:
            peer, network, begins = await _around(tx, peer_id)
            wanted = network.revision if revision is None else revision
            if not begins <= wanted <= network.revision:
                known = f"the history of {network.name} goes from {begins} to {network.revision}"
                raise NotFound("config revision", f"{wanted}: {known}")
            past = await _past(tx, network.id, wanted)
        tunnel = past.tunnel(peer.id)
        if tunnel is None:
            raise NotFound("config revision", f"{wanted}: {peer.name} was made later")
        return ConfigAt(wanted, tunnel, text_of(tunnel, past.peers[peer.id]))

    async def diff(self, peer_id: PeerId, start: int, to: int | None = None) -> tuple[int, str]:
        """The revision that `start` was compared with, and how their texts differ (unified diff; "" if they do not)."""
        old, new = await self.at(peer_id, start), await self.at(peer_id, to)
        # Texts of thousands of lines take long to compare, and nothing here belongs to the loop.
        return new.revision, await asyncio.to_thread(unified, old, new)

    async def causes(self, peer_id: PeerId, one: int, other: int) -> list[ConfigRevision]:
        """The revisions between two that changed the config of a peer, the later one among them; the newest first, and
        at most `MOST_CAUSES`."""
        low, high = sorted((one, other))
        found: list[ConfigRevision] = []
        before: int | None = high + 1
        while before is not None and before > low + 1 and len(found) < MOST_CAUSES:
            listed = await self.revisions(peer_id, MOST_CAUSES - len(found), before)
            found += [item for item in listed.items if item.revision > low]
            before = listed.before
        return found

    async def begin(self, caller: Caller) -> None:
        """Write down networks whose history is not known, such as those of an older version, so that it begins now."""
        now = self._clock.now()
        async with self._store.reading() as tx:
            unknown = [
                network.id
                for network in await tx.networks.all()
                if await tx.journal.history_begins(network.id) > network.revision
            ]
        for network_id in unknown:
            async with self._store.transaction() as tx:
                # Nobody's config changes by it, so neither do the revisions that agents are told.
                network = (await tx.networks.lock(network_id)).advanced(jumps=False, shared=False)
                await tx.networks.save(network)
                state = whole_state(network, await tx.peers.of_network(network_id))
                event = "network.checkpoint"
                change = Change(network_id, network.revision, event, network_id, Audience.NOBODY, now, state=state)
                await tx.journal.append(change)
                await tx.journal.set_history_begins(network_id, network.revision)
                await tx.journal.audit([caller.did(event, network_id, now)])
            self._listeners.changed(Commit(network_id, network))

    async def prune(self) -> None:
        """Forget what is older than the bound; called now and then. Configs at all later revisions stay exact."""
        async with self._store.reading() as tx:
            networks = [network.id for network in await tx.networks.all()]
        for network_id in networks:
            with contextlib.suppress(NotFound):  # deleted meanwhile
                await self._prune(network_id)

    async def _prune(self, network_id: NetworkId) -> None:
        async with self._store.reading() as tx:
            begins = await tx.journal.history_begins(network_id)
            cut = (await tx.networks.get(network_id)).revision - self._keep
        if cut <= begins + SLACK:
            return
        removed = MOST_REMOVED
        while removed == MOST_REMOVED:
            async with self._store.transaction() as tx:
                await tx.networks.lock(network_id)
                await tx.journal.set_history_begins(network_id, cut)
                removed = await tx.journal.forget(network_id, cut, MOST_REMOVED)


async def _around(tx: Transaction, peer_id: PeerId) -> tuple[Peer, Network, int]:
    peer = await tx.peers.get(peer_id)
    return peer, await tx.networks.get(peer.network_id), await tx.journal.history_begins(peer.network_id)


async def _past(tx: Transaction, network_id: NetworkId, revision: int) -> Past:
    past = Past(network_id)
    for number, change in enumerate(await tx.journal.latest(network_id, revision)):
        past.apply(change)
        if number % STRIDE == 0:
            await asyncio.sleep(0)
    return past


def _name(past: Past, change: Change) -> str:
    if change.subject == past.network_id:
        return "" if past.network is None else past.network.name
    peer = past.peers.get(PeerId(change.subject))
    return "" if peer is None else peer.name


def unified(old: ConfigAt, new: ConfigAt) -> str:
    names = f"revision {old.revision}", f"revision {new.revision}"
    lines = difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)
