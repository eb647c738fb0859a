"""The history of configs: exact at every revision, listed where something changed, bounded, and without secrets."""

import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, insert, null, update

from isthmus.domain.addresses import Endpoint
from isthmus.domain.errors import NotFound, Refusal
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.domain.mesh.tunnel import Tunnel, tunnel_for
from isthmus.server.adapters.db.tables import blocked_peers, incidents, revision_log
from isthmus.server.application import history, networks
from isthmus.server.application.history import HistoryService
from isthmus.server.application.past import Past
from isthmus.server.application.peers import Update
from isthmus.server.application.revisions import Step, advance, log_network
from tests.application.backend import ADA, BOTH_DATABASES, Backend
from tests.builders import NOON


async def configs_now(backend: Backend, network_id: NetworkId) -> dict[PeerId, Tunnel]:
    """What every peer is told at present, computed from nothing but the store."""
    network, peers = await backend.network_now(network_id), await backend.peers_of(network_id)
    return {peer.id: tunnel_for(network, peers, peer) for peer in peers}


class Walk:
    """Random changes of one network; `told` is what every peer was told at each revision."""

    def __init__(self, backend: Backend, network: Network, seed: int) -> None:
        self.backend = backend
        self.id = network.id
        self.random = random.Random(seed)
        self.number = 0
        self.told: dict[int, dict[PeerId, Tunnel]] = {}

    async def note(self) -> None:
        revision = (await self.backend.network_now(self.id)).revision
        self.told[revision] = await configs_now(self.backend, self.id)

    async def go(self, steps: int) -> None:
        await self.note()
        for _ in range(steps):
            steps_ = [self.create, self.create, self.update, self.update, self.delete, self.other, self.network]
            try:
                await self.random.choice(steps_)()
            except Refusal:
                continue
            await self.note()

    async def one(self) -> Peer:
        peers = await self.backend.peers_of(self.id)
        if not peers:
            raise NotFound("peer", "any")
        return self.random.choice(peers)

    async def create(self) -> None:
        self.number += 1
        network, name = await self.backend.network_now(self.id), f"p{self.number}"
        kind = self.random.choice([Kind.DYNAMIC, Kind.DYNAMIC, Kind.STATIC, Kind.JUMP])
        ranges = [f"192.168.{self.number}.0/24"] if self.random.random() < 0.3 else []
        fields: dict[str, Any] = {"additional_allowed_ips": ranges}
        if kind is Kind.STATIC:
            await self.backend.peer(network, name, kind, **fields)
        else:
            created = await self.backend.created(network, name, kind, **fields)
            await self.note()
            await self.backend.enroll(created)

    async def update(self) -> None:
        self.number += 1
        changes = [
            Update(name=f"p{self.number}"),
            Update(isolated=self.random.random() < 0.5, additional_allowed_ips=[]),
            Update(full_encapsulation=self.random.random() < 0.5),
            Update(additional_allowed_ips=[f"192.168.{self.number}.0/24"]),
            Update(endpoint=f"198.51.100.{self.number % 250}:51820"),
            Update(labels={"a": str(self.number)}),
        ]
        await self.backend.peers.update(ADA, (await self.one()).id, self.random.choice(changes), None)

    async def delete(self) -> None:
        await self.backend.peers.delete(ADA, (await self.one()).id, None, force=True)

    async def other(self) -> None:
        """What incidents and agents do: a peer is blocked or free again, its candidates change."""
        peer = await self.one()
        after = replace(peer, blocked=not peer.blocked) if self.random.random() < 0.5 else _moved(peer, self.number)
        async with self.backend.store.transaction() as tx:
            network = await tx.networks.lock(self.id)
            commit = await advance(tx, network, Step("peer.changed", peer.id, peer, after), NOON)
            await tx.peers.save(commit.changed[0])
            if after.blocked != peer.blocked:
                await block(tx, peer, after.blocked)

    async def network(self) -> None:
        self.number += 1
        changes = [
            networks.Update(mtu=1300 + self.number),
            networks.Update(keepalive=self.number),
            networks.Update(listen_port=40_000 + self.number),
            networks.Update(cidr_v4=f"10.{self.number % 200}.0.0/24", force=True),
            networks.Update(cidr_v4=None, force=True),
            networks.Update(name=f"net-{self.number}"),
        ]
        if self.random.random() < 0.5:
            await self.direct_or_primary()
        else:
            await self.backend.networks.update(ADA, self.id, self.random.choice(changes), None)

    async def direct_or_primary(self) -> None:
        async with self.backend.store.transaction() as tx:
            before = await tx.networks.lock(self.id)
            jumps = [peer.id for peer in await tx.peers.in_every_config(self.id) if peer.is_jump]
            after = replace(
                before,
                direct_paths=self.random.choice(list(DirectPaths)),
                primary_id=self.random.choice([None, *jumps]),
            ).advanced(jumps=True, shared=True)
            await tx.networks.save(after)
            await log_network(tx, after, "network.changed", NOON)


def _moved(peer: Peer, number: int) -> Peer:

    return replace(
        peer, candidates=(Endpoint("192.0.2.1", 1000 + number),), observed=Endpoint("203.0.113.1", number + 1)
    )


async def block(tx: Any, peer: Peer, is_blocked: bool) -> None:
    """Put the peer into the access control list, or take it out."""
    run = tx.peers._statements.write
    await run(delete(incidents).where(incidents.c.peer_id == peer.id))
    if is_blocked:
        row = {"id": peer.id, "network_id": peer.network_id, "peer_id": peer.id, "peer_name": peer.name}
        row |= {"type": "shared_config", "state": "resolved", "blocks": True, "evidence": {}, "detected_at": NOON}
        await run(insert(incidents), row)
        await run(insert(blocked_peers), {"peer_id": peer.id, "incident_id": peer.id})


async def a_walk(backend: Backend, seed: int, steps: int) -> Walk:
    network = await backend.network("net", "10.200.0.0/24")
    for name in ("gw", "gate"):
        await backend.enrolled(network, name, Kind.JUMP)
    await backend.peer(network, "phone", Kind.STATIC)
    walk = Walk(backend, network, seed)
    await walk.go(steps)
    return walk


async def past_at(backend: Backend, network_id: NetworkId, revision: int) -> Past:
    past = Past(network_id)
    async with backend.store.reading() as tx:
        for change in await tx.journal.latest(network_id, revision):
            past.apply(change)
    return past


async def configs_at(backend: Backend, network_id: NetworkId, revision: int) -> dict[PeerId, Tunnel]:
    """What every peer was told at a past revision, as the history has it."""
    past = await past_at(backend, network_id, revision)
    return {peer_id: tunnel for peer_id in past.peers if (tunnel := past.tunnel(peer_id))}


@BOTH_DATABASES
async def test_the_config_at_each_past_revision_is_what_the_peer_was_told_then(backend: Backend) -> None:
    walk = await a_walk(backend, 1, 60)
    assert len(walk.told) > 30
    for revision, configs in walk.told.items():
        assert await configs_at(backend, walk.id, revision) == configs, revision


@BOTH_DATABASES
async def test_what_is_forgotten_changes_no_later_config(backend: Backend) -> None:
    walk = await a_walk(backend, 5, 45)
    last = max(walk.told)
    cut = last - 20
    rows = len(await backend.changes(walk.id))
    async with backend.store.transaction() as tx:
        assert await tx.journal.forget(walk.id, cut, 5) == 5
        while await tx.journal.forget(walk.id, cut, 5):
            pass
    left = await backend.changes(walk.id)
    assert len(left) < rows - 20
    assert [change.revision for change in left][-20:] == list(range(cut + 1, last + 1))
    assert sum(change.revision <= cut for change in left) <= len(walk.told[cut]) + 5
    for revision, configs in walk.told.items():
        if revision >= cut:
            assert await configs_at(backend, walk.id, revision) == configs, revision


@pytest.mark.parametrize("seed", range(3))
async def test_exactly_the_revisions_are_listed_that_changed_a_config(backend: Backend, seed: int) -> None:
    walk = await a_walk(backend, seed, 60)
    last = (await backend.network_now(walk.id)).revision
    pasts = [await past_at(backend, walk.id, revision) for revision in range(last + 1)]
    for peer in await backend.peers_of(walk.id):
        told = [past.told(peer.id) for past in pasts]
        changed = [revision for revision in range(last, 0, -1) if told[revision] != told[revision - 1]]
        listed = await backend.history.revisions(peer.id, 1000)
        assert [item.revision for item in listed.items] == changed
        assert (listed.begins, listed.before) == (1, None)
        assert all(item.subject for item in listed.items)
        for start in (changed[0], changed[-1]):
            to, text = await backend.history.diff(peer.id, start)
            assert to == last
            assert bool(text) == (told[start] != told[last])


async def test_a_history_is_read_page_by_page_and_says_what_changed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    laptop = await backend.enrolled(network, "laptop")
    for number in range(5):
        await backend.networks.update(ADA, network.id, networks.Update(mtu=1300 + number), None)
    await backend.peers.update(ADA, gw.id, Update(name="gate"), None)
    await backend.peers.delete(ADA, (await backend.peer(network, "other")).id, None, force=False)
    whole = await backend.history.revisions(laptop.id, 100)
    assert [(item.event, item.subject) for item in whole.items] == [
        ("peer.changed", "gw"),
        *[("network.changed", "office")] * 5,
        ("peer.enrolled", "laptop"),
        ("peer.created", "laptop"),
    ]
    for window, limit in ((1000, 3), (2, 100), (3, 1)):
        monkeypatch.setattr(history, "WINDOW", window)
        page = await backend.history.revisions(laptop.id, limit)
        items = list(page.items)
        while page.before is not None:
            page = await backend.history.revisions(laptop.id, limit, page.before)
            assert len(page.items) <= limit
            items += page.items
        assert items == list(whole.items)


async def test_a_diff_shows_what_changed_and_no_private_key_is_anywhere(backend: Backend) -> None:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    created = await backend.created(network, "phone", Kind.STATIC, keep_private_key=True)
    phone, start = created.peer, (await backend.network_now(network.id)).revision
    await backend.peers.update(ADA, gw.id, Update(endpoint="203.0.113.9:51820"), None)
    _, text = await backend.history.diff(phone.id, start)
    assert [line for line in text.splitlines() if line[0] in "+-" and line[:3] not in {"---", "+++"}] == [
        "-Endpoint = 198.51.100.7:51820",
        "+Endpoint = 203.0.113.9:51820",
    ]
    assert created.config is not None
    private = created.config.text.partition("PrivateKey = ")[2].partition("\n")[0]
    at = await backend.history.at(phone.id, start)
    assert len(private) == 44
    assert "PrivateKey" not in at.text
    assert private not in "".join(map(str, [at, *await backend.changes(network.id)]))
    for wrong in (0, start - 1, 10**6):
        with pytest.raises(NotFound, match=f"no config revision {wrong}: "):
            await backend.history.at(phone.id, wrong)


@BOTH_DATABASES
async def test_a_network_of_an_older_version_has_a_history_from_its_checkpoint_on(backend: Backend) -> None:
    network = await backend.network()
    gone = await backend.enrolled(network, "gone")
    await backend.enrolled(network, "gw", Kind.JUMP)
    laptop = await backend.enrolled(network, "laptop")
    revision = (await backend.network_now(network.id)).revision
    async with backend.store.transaction() as tx:
        # What the migration makes of a log without states.
        await tx.journal.set_history_begins(network.id, revision + 1)
        await tx.journal._statements.write(update(revision_log).values(state=null()))  # type: ignore[attr-defined]
    before = await configs_now(backend, network.id)
    for _ in range(2):
        await backend.history.begin(ADA)
        assert (await backend.network_now(network.id)).revision == revision + 1
    assert await configs_now(backend, network.id) == before == await configs_at(backend, network.id, revision + 1)
    assert [row.action for row in await backend.audit()][-1] == "network.checkpoint"
    await backend.networks.update(ADA, network.id, networks.Update(mtu=1300), None)
    await backend.peers.delete(ADA, gone.id, None, force=False)
    listed = await backend.history.revisions(laptop.id, 10)
    assert listed.begins == revision + 1
    assert [item.event for item in listed.items][-2:] == ["network.changed", "network.checkpoint"]
    with pytest.raises(NotFound, match=f"goes from {revision + 1} to"):
        await backend.history.at(laptop.id, revision)
    last = (await backend.network_now(network.id)).revision
    async with backend.store.transaction() as tx:
        assert await tx.journal.forget(network.id, last, 1000)
    assert await configs_at(backend, network.id, last) == await configs_now(backend, network.id)


@BOTH_DATABASES
async def test_a_history_is_bounded(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_REMOVED", 7)
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    await backend.network("other", None)
    short = HistoryService(backend.store, backend.clock, backend.heard, keep=5)
    for number in range(60):
        await backend.peers.update(ADA, gw.id, Update(endpoint=f"203.0.113.1:{51820 + number}"), None)
        await short.prune()
    assert len(await backend.changes(network.id)) == 63
    monkeypatch.setattr(history, "SLACK", 10)
    await short.prune()
    left = [change.revision for change in await backend.changes(network.id)]
    assert left == [1, 58, 59, 60, 61, 62, 63]
    listed = await backend.history.revisions(gw.id, 100)
    assert (listed.begins, [item.revision for item in listed.items]) == (58, [63, 62, 61, 60, 59, 58])
    assert "Endpoint" not in (await backend.history.at(gw.id, 58)).text
    with pytest.raises(NotFound):
        await backend.history.at(gw.id, 57)
