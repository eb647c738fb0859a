"""What the database says at this moment, and what every agent's config is by it, computed without any short cut."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer, desired_revision
from isthmus.domain.mesh.tunnel import tunnel_for
from isthmus.protocol import agent as wire
from isthmus.server.adapters.db import open_store
from isthmus.server.application import wire as to_wire
from isthmus.server.ports import Store
from isthmus.server.records import AuditEntry, Change

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Truth:
    """All rows that matter, of one moment."""

    networks: list[Network]
    peers: dict[PeerId, Peer]
    changes: list[Change]
    audit: list[AuditEntry]

    def desired(self, peer: Peer) -> int:
        return desired_revision(self._network(peer), peer)

    def config(self, peer: Peer) -> wire.Config:
        network = self._network(peer)
        everyone = [other for other in self.peers.values() if other.network_id == network.id]
        return to_wire.config(network, peer, tunnel_for(network, everyone, peer))

    def _network(self, peer: Peer) -> Network:
        return next(network for network in self.networks if network.id == peer.network_id)


async def of_database(url: str, folder: Path) -> Truth:
    """Read a database that a server has open. Of SQLite, which one process alone may open, a copy is read."""
    if url.startswith("sqlite:///"):
        copy = folder / "copy.db"
        await asyncio.to_thread(_copy, Path(url.removeprefix("sqlite:///")), copy)
        url = f"sqlite:///{copy}"
    store = await open_store(url)
    try:
        return await _read(store)
    finally:
        await store.close()


def _copy(path: Path, to: Path) -> None:
    to.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


async def _read(store: Store) -> Truth:
    async with store.reading() as tx:
        networks = await tx.networks.all()
        peers = [peer for network in networks for peer in await tx.peers.of_network(network.id)]
        changes: list[Change] = []
        for network in networks:
            after = 0
            while page := await tx.journal.changes(network.id, after, PAGE):
                changes += page
                after = page[-1].revision
        audit: list[AuditEntry] = []
        before = None
        while rows := await tx.journal.audit_page(PAGE, before):
            audit += [row.entry for row in rows]
            before = rows[-1].number
    return Truth(networks, {peer.id: peer for peer in peers}, changes, audit)


def normal(config: wire.Config | None) -> Any:
    """A config as JSON. The order of its ways to all others counts and is kept, that of other neighbours is none."""
    if config is None:
        return None
    document = msgspec.json.decode(wire.encode(config))
    others = [each for each in document["neighbours"] if each["public_key"] != document["public_key"]]
    ways = [each for each in others if each.get("role") in {"primary", "standby"}]
    return document | {"neighbours": [*ways, *sorted_by_key(each for each in others if each not in ways)]}


def sorted_by_key(neighbours: Iterable[Any]) -> list[Any]:
    return sorted(neighbours, key=lambda each: str(each["public_key"]))
