"""What agents are sent from memory, against the slow and obvious computation, after every step of a random walk."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from isthmus.agent.deltas import applied
from isthmus.domain.addresses import Endpoint, host_network
from isthmus.domain.errors import AgentBlocked, Refusal
from isthmus.domain.federation.joining import crossings_of
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.crossing import Crossings
from isthmus.domain.mesh.incident import Finding, SessionConflict, SharedConfig, State, Type
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer, desired_revision
from isthmus.domain.mesh.tunnel import tunnel_for
from isthmus.protocol import agent as wire
from isthmus.server.application import networks, peers
from isthmus.server.application import wire as to_wire
from isthmus.server.application.crossings import facts_of
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.application.revisions import Step, advance
from isthmus.server.ports import Store, Transaction
from isthmus.server.records import Commit, IncidentFilter
from tests.application.backend import ADA, ALL, BOTH_DATABASES, Backend
from tests.application.bridging import Bridging

Configs = dict[PeerId, Any]
# Four walks on each run make 2,000 operations and more.
STEPS = 500
MOST_PEERS = 14
RANGES = [f"192.168.{number}.0/24" for number in range(4)]


async def naive(backend: Backend, network: Network) -> tuple[list[Peer], Configs]:
    """Every peer's config, computed from all rows of the store."""
    everyone = await backend.peers_of(network.id)
    async with backend.store.reading() as tx:
        bridges = crossings_of(await facts_of(tx, network, backend.clock.now()), backend.clock.now())
    jumps = sorted((peer for peer in everyone if peer.is_jump and peer.is_listed), key=lambda peer: peer.id)
    primary = next((jump.id for jump in jumps if jump.id == network.primary_id), jumps[0].id if jumps else None)
    crossings = Crossings(primary, bridges)
    return everyone, {
        peer.id: normal(as_json(to_wire.config(network, peer, tunnel_for(network, everyone, peer, crossings))))
        for peer in everyone
    }


def as_json(config: wire.Config | None) -> Any:
    return msgspec.json.decode(wire.encode(config))


def normal(config: Any) -> Any:
    """A config as JSON, with its neighbours in one order; that of the jump peers among them counts and is kept."""
    others = [each for each in config["neighbours"] if each["public_key"] != config["public_key"]]
    ways = [each for each in others if each.get("role") in {"primary", "standby"}]
    rest = sorted((each for each in others if each not in ways), key=lambda each: str(each["public_key"]))
    return config | {"neighbours": [*ways, *rest]}


async def remembered(backend: Backend, peer: Peer) -> tuple[int, Any]:
    """The revision and config that the peer's agent is sent, or would be if it were not blocked, as JSON says it."""
    memory, known = await backend.mesh.around(peer.id)
    news = memory.news(known, None)
    return news.revision, normal(as_json(news.config))


class Follower:
    """An agent that keeps the config it was sent, and is told what is new now and then."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id
        self._revision = 0
        self._config: wire.Config | None = None
        self.deltas = 0

    async def catch_up(self, backend: Backend) -> Any:
        """The config it has in the end, as JSON says it."""
        news = await backend.agents.news(self._peer_id, self._revision)
        if news.config is not None:
            self._config = msgspec.json.decode(wire.encode(news.config), type=wire.Config)
        elif news.delta is not None:
            delta = wire.decode_from_server(news.delta)
            assert isinstance(delta, wire.Delta)
            assert self._config is not None
            assert delta.from_ <= self._revision < delta.to == news.revision
            self._config = applied(self._config, delta)
            # Said twice, it changes nothing.
            assert normal(as_json(applied(self._config, delta))) == normal(as_json(self._config))
            self.deltas += 1
        else:
            assert news.revision == self._revision
        self._revision = news.revision
        return normal(as_json(self._config))


def concerned(commit: Commit, everyone: list[Peer]) -> set[PeerId]:
    """Whom a commit says it concerns, as `StreamHub` reads it."""
    if commit.reload or commit.audience is Audience.EVERYONE:
        return {peer.id for peer in everyone}
    jumps = {peer.id for peer in everyone if peer.is_jump} if commit.audience is Audience.JUMPS else set()
    return jumps | {peer.id for peer in commit.changed}


class Walk:
    """Random operations on one network; some are refused, which is part of it."""

    def __init__(self, backend: Backend, network: Network, seed: int) -> None:
        self._backend = backend
        self._network_id = network.id
        self._random = random.Random(seed)
        self._made = 0
        self._bridging = Bridging(backend, network, self._random)

    async def step(self) -> None:
        everyone = await self._backend.peers_of(self._network_id)
        does: list[Callable[[list[Peer]], Awaitable[object]]] = [self._enroll, self._enroll]
        does += [self._delete] * 3 if len(everyone) >= MOST_PEERS else [self._create] * 3
        if everyone:
            does += [self._change, self._change, self._change, self._delete, self._regenerate, self._change_network]
            does += [self._block, self._resolve, self._move, self._elect]
            does += [self._bridging.join, self._bridging.move, self._bridging.grant, self._bridging.revoke]
        try:
            await self._random.choice(does)(everyone)
        except Refusal:
            return

    async def _create(self, everyone: list[Peer]) -> None:
        kind = self._random.choice(list(Kind))
        self._made += 1
        network = await self._backend.network_now(self._network_id)
        offers = self._random.sample(RANGES, 1) if self._random.random() < 0.3 else []
        await self._backend.peer(
            network,
            f"{kind}-{self._made}",
            kind,
            isolated=self._random.random() < 0.2,
            full_encapsulation=self._random.random() < 0.2,
            additional_allowed_ips=offers,
        )

    async def _enroll(self, everyone: list[Peer]) -> None:
        waiting = [peer for peer in everyone if peer.kind.has_agent]
        if waiting:
            peer = self._random.choice(waiting)
            token = await self._backend.peers.new_token(ADA, peer.id)
            await self._backend.enroll(peers.Created(peer, await self._backend.network_now(self._network_id), token))

    async def _change(self, everyone: list[Peer]) -> None:
        peer = self._random.choice(everyone)
        self._made += 1
        update = self._random.choice(
            [
                peers.Update(name=f"renamed-{self._made}"),
                peers.Update(isolated=not peer.isolated),
                peers.Update(full_encapsulation=not peer.full_encapsulation),
                peers.Update(additional_allowed_ips=self._random.sample(RANGES, self._random.randrange(3))),
                peers.Update(endpoint=f"203.0.113.{self._made % 250}:{self._made + 1}"),
                peers.Update(owner=f"owner {self._made}"),
            ]
        )
        await self._backend.peers.update(ADA, peer.id, update, None)

    async def _delete(self, everyone: list[Peer]) -> None:
        await self._backend.peers.delete(ADA, self._random.choice(everyone).id, None, force=self._random.random() < 0.5)

    async def _regenerate(self, everyone: list[Peer]) -> None:
        await self._backend.peers.regenerate(ADA, self._random.choice(everyone).id)

    async def _block(self, everyone: list[Peer]) -> None:
        peer = self._random.choice(everyone)
        kind = self._random.choice([Type.SESSION_CONFLICT, Type.SHARED_CONFIG])
        evidence = SharedConfig(()) if kind is Type.SHARED_CONFIG else SessionConflict(())
        await self._backend.incidents.open(Finding(peer.id, kind, evidence, blocks=True, at=peer.created_at))

    async def _resolve(self, everyone: list[Peer]) -> None:
        where = IncidentFilter(network_id=self._network_id, state=State.OPEN)
        found = [incident for incident, _ in await self._backend.incidents.page(ALL, where)]
        if found:
            await self._backend.incidents.resolve(ADA, self._random.choice(found).id, "seen to")

    async def _move(self, everyone: list[Peer]) -> None:
        """What the jump peer and the host itself say of where a peer is."""
        self._made += 1
        before = self._random.choice(everyone)
        observed = self._random.choice([None, Endpoint(f"203.0.113.{self._made % 250}", 4_000 + self._made)])
        candidates = (Endpoint(f"192.168.1.{self._made % 250}", 51_820),) if self._random.random() < 0.5 else ()
        async with self._backend.store.transaction() as tx:
            network = await tx.networks.lock(self._network_id)
            after = replace(before, observed=observed, candidates=candidates)
            if after == before:
                return
            step = Step("peer.endpoints", before.id, before, after)
            commit = await advance(tx, network, step, self._backend.clock.now())
            await tx.peers.save(commit.changed[0])
        self._backend.listeners.changed(commit)

    async def _elect(self, everyone: list[Peer]) -> None:
        jumps = [peer.id for peer in everyone if peer.is_jump]
        update = networks.Update(primary_id=self._random.choice([None, *jumps]))
        await self._backend.networks.update(ADA, self._network_id, update, None)

    async def _change_network(self, everyone: list[Peer]) -> None:
        self._made += 1
        cidr = self._random.choice(["10.20.0.0/24", "10.30.0.0/24", None])
        update = self._random.choice(
            [
                networks.Update(mtu=1280 + self._made),
                networks.Update(keepalive=self._random.choice([0, 25])),
                networks.Update(direct_paths=self._random.choice(list(DirectPaths))),
                networks.Update(name=f"office-{self._made}"),
                networks.Update(cidr_v4=cidr, force=True),
            ]
        )
        await self._backend.networks.update(ADA, self._network_id, update, None)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_memory_equals_the_naive_recompute_and_everyone_whose_config_changed_is_told(
    backend: Backend, seed: int
) -> None:
    network = await backend.network()
    other = await backend.network("lab", "10.99.0.0/24")
    stranger = await backend.enrolled(other, "stranger")
    followers: dict[PeerId, Follower] = {}
    chance = random.Random(seed)
    deltas = 0
    walk = Walk(backend, network, seed)
    everyone, before = await naive(backend, network)
    desired: dict[PeerId, int] = {}
    changed_steps = 0
    for _ in range(STEPS):
        backend.heard.commits.clear()
        await walk.step()
        # What a change of peers means for bridges is a revision of its own.
        await backend.crossings.turn()
        network = await backend.network_now(network.id)
        everyone, after = await naive(backend, network)
        told = {peer_id for commit in backend.heard.commits for peer_id in concerned(commit, everyone)}
        for peer in everyone:
            revision, config = await remembered(backend, peer)
            assert config == after[peer.id], peer.name
            assert revision == desired_revision(network, peer)
            if peer.id in before and after[peer.id] != before[peer.id]:
                changed_steps += 1
                assert peer.id in told, f"{peer.name} was not told"
                assert revision > desired[peer.id], f"{peer.name} would take its old config for the present one"
            desired[peer.id] = revision
            follower = followers.setdefault(peer.id, Follower(peer.id))
            if peer.blocked:
                with pytest.raises(AgentBlocked):
                    await follower.catch_up(backend)
            elif chance.random() < 0.3:
                assert await follower.catch_up(backend) == after[peer.id], peer.name
        gone = followers.keys() - {peer.id for peer in everyone}
        deltas += sum(followers.pop(peer_id).deltas for peer_id in gone)
        if chance.random() < 0.01:
            backend.mesh.changed(Commit(network.id, network, reload=True))
        assert stranger.id not in told
        before = after
    deltas += sum(follower.deltas for follower in followers.values())
    assert changed_steps > STEPS // 2, "the walk changed too little to prove anything"
    assert deltas > STEPS // 2, "too few deltas were sent to prove anything"


@pytest.mark.case("SEED-083")
@BOTH_DATABASES
async def test_configs_of_one_revision_agree_while_the_network_changes(backend: Backend) -> None:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    members = [await backend.enrolled(network, f"peer-{number}") for number in range(4)]
    done = asyncio.Event()

    async def change() -> None:
        for number in range(25):
            peer = members[number % len(members)]
            token = await backend.peers.new_token(ADA, peer.id)
            await backend.enroll(peers.Created(peer, network, token))
            await backend.networks.update(
                ADA, network.id, networks.Update(cidr_v4=f"10.{20 + number}.0.0/24", mtu=1300 + number), None
            )
        done.set()

    async def look() -> int:
        looks = 0
        while not done.is_set():
            async with backend.store.reading() as tx:
                present = await tx.networks.get(network.id)
                rows = await tx.peers.of_network(network.id)
            configs = {row.id: to_wire.config(present, row, tunnel_for(present, rows, row)) for row in rows}
            assert_agree(present, rows, configs)
            memory, _ = await backend.mesh.around(gw.id)
            from_memory = list(memory.peers.values())
            sent = {
                peer.id: msgspec.json.decode(wire.encode(memory.config(peer)), type=wire.Config) for peer in from_memory
            }
            assert_agree(memory.network, from_memory, sent)
            looks += 1
            await asyncio.sleep(0)
        return looks

    _, looks = await asyncio.gather(change(), look())
    assert looks > 10


def assert_agree(network: Network, everyone: list[Peer], configs: dict[PeerId, wire.Config]) -> None:
    """What the jump peer says of each peer is what that peer says of itself, and all are of one revision."""
    hub = next(peer for peer in everyone if peer.is_jump)
    listed = {neighbour.public_key: neighbour for neighbour in configs[hub.id].neighbours}
    assert len({config.mtu for config in configs.values()}) == 1
    for peer in everyone:
        own = configs[peer.id]
        assert own.mtu == network.mtu
        assert all(any(address in cidr for cidr in network.cidrs) for address in peer.addresses)
        if peer.id == hub.id:
            continue
        assert peer.public_key is not None
        seen = listed[peer.public_key]
        assert {f"{address}/{32 if '.' in address else 128}" for address in own.addresses} == set(seen.allowed_ips)
        primary, *direct = own.neighbours
        assert {neighbour.role for neighbour in direct} <= {"direct"}
        assert primary.public_key == hub.public_key
        own_of_hub = map(str, map(host_network, hub.addresses))
        assert set(primary.allowed_ips) == {*map(str, network.cidrs), *own_of_hub}


class LateReads:
    """A store whose reads, once they have read, end only when a test lets them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.has_read = asyncio.Event()
        self.may_end = asyncio.Event()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        async with self._store.reading() as tx:
            yield tx
            self.has_read.set()
            await self.may_end.wait()


async def test_a_load_that_ends_after_the_next_commit_was_told_reads_again(backend: Backend) -> None:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    late = LateReads(backend.store)
    mesh = MeshMemory(late)  # type: ignore[arg-type]  # it only reads
    loading = asyncio.create_task(mesh.around(gw.id))
    await late.has_read.wait()
    backend.heard.commits.clear()
    await backend.enrolled(network, "laptop")
    for commit in backend.heard.commits:
        mesh.changed(commit)
    late.may_end.set()
    memory, _ = await loading
    assert memory.network == await backend.network_now(network.id)
    assert {peer.name for peer in memory.peers.values()} == {"gw", "laptop"}


async def test_commits_that_are_told_out_of_order_leave_no_gap(backend: Backend) -> None:
    """Two servers' threads of one database may tell of revisions 6 and 5 in this order."""
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    mesh = MeshMemory(backend.store)
    await mesh.around(gw.id)
    backend.heard.commits.clear()
    await backend.enrolled(network, "laptop")
    await backend.enrolled(network, "phone")
    for commit in reversed(backend.heard.commits):
        mesh.changed(commit)
    memory, _ = await mesh.around(gw.id)
    assert memory.network == await backend.network_now(network.id)
    assert {peer.name for peer in memory.peers.values()} == {"gw", "laptop", "phone"}
