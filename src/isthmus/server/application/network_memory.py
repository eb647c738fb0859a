"""One network in memory: what its agents are told, in parts that are encoded once and sent to all who need them."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import msgspec

from isthmus.domain.ids import PeerId, PublicKey
from isthmus.domain.mesh.crossing import Crossing, Crossings
from isthmus.domain.mesh.jumps import held_by
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Audience, Peer, desired_revision
from isthmus.domain.mesh.tunnel import (
    Tunnel,
    as_direct,
    as_member,
    bridged_for,
    jump_dns,
    jump_forwarding,
    jump_routes,
    listen_port,
    tunnel_for,
)
from isthmus.protocol import agent as wire
from isthmus.server.application import wire as to_wire
from isthmus.server.application.change_log import ChangeLog, Entry
from isthmus.server.crossing_records import BRIDGE_CHANGED
from isthmus.server.records import Change, Commit

PAST_VIEWS = 8


@dataclass(frozen=True, slots=True)
class News:
    """What brings an agent to `revision`: a whole config, or a delta as the JSON of its message, or nothing."""

    revision: int
    config: wire.Config | None = None
    delta: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What peers of one make are told alike: a config without neighbours, and the jump peers as they list them."""

    frame: wire.Config
    ways: dict[PublicKey, bytes] = field(default_factory=dict)

    def patch_from(self, old: "View | None") -> wire.Patch:
        """The fields that all peers of the make share, as far as they differ from those of `old`."""
        patch = to_wire.common_patch(self.frame)
        if old is None:
            return patch
        before = to_wire.common_patch(old.frame)
        names = [name for name in patch.__struct_fields__ if getattr(patch, name) != getattr(before, name)]
        return wire.Patch(**{name: getattr(patch, name) for name in names})

    def ways_from(self, old: "View | None") -> tuple[list[bytes], Iterable[PublicKey]]:
        """The jump peers that are listed otherwise than in `old`, and the keys to take out before: where others follow
        each other than did, all of them, for what is put in anew stands last."""
        if old is None or list(old.ways) != list(self.ways):
            return list(self.ways.values()), self.ways
        return [said for key, said in self.ways.items() if old.ways[key] != said], ()


@dataclass(slots=True)
class Views:
    """The view of each make, and the last ones before it, so that a delta says what differs and no more."""

    since: int
    present: dict[Hashable, View] = field(default_factory=dict)
    past: deque[tuple[range, dict[Hashable, View]]] = field(default_factory=lambda: deque(maxlen=PAST_VIEWS))

    def end(self, revision: int) -> None:
        """What is here holds no more from `revision` on; called again for one revision it does nothing."""
        if revision > self.since:
            self.past.append((range(self.since, revision), self.present))
        self.since, self.present = revision, {}

    def at(self, make: Hashable, revision: int) -> View | None:
        """The view as it was, where it was asked for then and is not long ago."""
        views = next((views for held, views in self.past if revision in held), {})
        return views.get(make)


@dataclass(slots=True)
class NetworkMemory:
    """`members` is how jump peers list each enrolled peer, `direct` how regular peers do where they may, both encoded;
    `listed` has the members in order. `bridges` are the network's crossings, `spans` the same as its gateway is told
    of them, encoded, and `ends` the keys of the other gateways. `shared` are the peers on which every regular config
    depends, so that one costs the same in any network. `moved` tells since when a peer's config is of another make
    than before.
    """

    network: Network
    log: ChangeLog
    peers: dict[PeerId, Peer] = field(default_factory=dict)
    by_key: dict[PublicKey, PeerId] = field(default_factory=dict)
    shared: dict[PeerId, Peer] = field(default_factory=dict)
    members: dict[PeerId, bytes] = field(default_factory=dict)
    listed: list[PeerId] = field(default_factory=list)
    direct: dict[PeerId, bytes] = field(default_factory=dict)
    bridges: dict[UUID, Crossing] = field(default_factory=dict)
    spans: dict[UUID, bytes] = field(default_factory=dict)
    ends: dict[PublicKey, UUID] = field(default_factory=dict)
    moved: dict[PeerId, int] = field(default_factory=dict)
    views: Views = field(default_factory=lambda: Views(0))
    _deltas: dict[Hashable, str] = field(default_factory=dict)

    @classmethod
    def loaded(
        cls, network: Network, peers: Iterable[Peer], changes: Sequence[Change], crossings: Iterable[Crossing] = ()
    ) -> "NetworkMemory":
        """A network as the store has it. `changes` are its last ones; where one is missing, none of them helps."""
        memory = cls(network, ChangeLog(network.revision - len(changes)), views=Views(network.revision))
        for peer in peers:
            memory._put(peer)
        for crossing in crossings:
            memory._span(crossing.id, crossing)
        if [change.revision for change in changes] != list(range(memory.log.floor + 1, network.revision + 1)):
            memory.log.forget(network.revision)
            return memory
        for change in changes:
            memory._remember(change)
        return memory

    def _remember(self, change: Change) -> None:
        """An entry from what the store kept of a change: where that says too little, it stands for the larger one."""
        if change.subject == self.network.id:
            self.log.forget(change.revision)
            return
        ways = change.audience is Audience.EVERYONE
        if change.event == BRIDGE_CHANGED:
            self.log.add(Entry(change.revision, change.audience, ways=ways, bridged=True))
            return
        peer_id = PeerId(change.subject)
        self.moved[peer_id] = change.revision
        self.log.add(Entry(change.revision, change.audience, peer_id, change.keys, ways=ways))

    def take(self, network: Network, commit: Commit) -> None:
        """Move on to the next revision."""
        before = self.network
        self.network = network
        self._deltas.clear()
        for peer in commit.changed:
            self._replace(peer.id, peer, commit.audience)
        for peer_id in commit.removed:
            self._replace(peer_id, None, commit.audience)
        if commit.crossings:
            self._bridge(commit)
        elif not commit.changed and not commit.removed:
            self.log.add(Entry(network.revision, commit.audience, ways=True))
        if (before.has_direct_paths, before.keepalive) != (network.has_direct_paths, network.keepalive):
            self._list_directly()
            for bridge_id, crossing in self.bridges.items():
                self._span(bridge_id, crossing)
            self.log.forget(network.revision)
        if _frame_of(before) != _frame_of(network):
            self.views.end(network.revision)

    def _replace(self, peer_id: PeerId, after: Peer | None, audience: Audience) -> None:
        before, was_shared = self.peers.get(peer_id), peer_id in self.shared
        self._drop(peer_id)
        if after is not None:
            self._put(after)
            if before is not None and _make_of(before) != _make_of(after):
                self.moved[peer_id] = self.network.revision
        else:
            self.moved.pop(peer_id, None)
        keys = tuple({peer.public_key for peer in (before, after) if peer is not None and peer.public_key is not None})
        ways = was_shared or peer_id in self.shared
        self.log.add(Entry(self.network.revision, audience, peer_id, keys, ways=ways))

    def _bridge(self, commit: Commit) -> None:
        """Bridges were joined, changed or parted."""
        for bridge_id, crossing in commit.crossings.items():
            self._span(bridge_id, crossing)
        ways = commit.audience is Audience.EVERYONE
        self.log.add(Entry(self.network.revision, commit.audience, ways=ways, bridged=True))
        if ways:
            self.views.end(self.network.revision)

    def _span(self, bridge_id: UUID, crossing: Crossing | None) -> None:
        before = self.bridges.get(bridge_id)
        if before is not None:
            self.ends.pop(before.public_key, None)
        if crossing is None:
            self.bridges.pop(bridge_id, None)
            self.spans.pop(bridge_id, None)
        else:
            self.bridges[bridge_id] = crossing
            self.ends[crossing.public_key] = bridge_id
            self.spans[bridge_id] = wire.encode(to_wire.crossing(crossing, self.network))

    @property
    def crossings(self) -> Crossings:
        """With the jump peer that is their gateway now."""
        return held_by(self.network, self.shared.values(), (self.bridges[each] for each in sorted(self.bridges)))

    def _put(self, peer: Peer) -> None:
        self.peers[peer.id] = peer
        if peer.public_key is None or peer.blocked:
            return
        self.by_key[peer.public_key] = peer.id
        self.members[peer.id] = wire.encode(to_wire.neighbour(as_member(peer)))
        insort(self.listed, peer.id)
        if self.network.has_direct_paths and peer.has_direct_paths:
            self.direct[peer.id] = wire.encode(to_wire.neighbour(as_direct(self.network, peer)))
        if peer.is_jump or peer.offers:
            self.shared[peer.id] = peer
            self.views.end(self.network.revision)

    def _drop(self, peer_id: PeerId) -> None:
        peer = self.peers.pop(peer_id, None)
        if peer is None or peer.public_key is None or peer.blocked:
            return
        self.by_key.pop(peer.public_key, None)
        del self.members[peer_id]
        del self.listed[bisect_left(self.listed, peer_id)]
        self.direct.pop(peer_id, None)
        if self.shared.pop(peer_id, None) is not None:
            self.views.end(self.network.revision)

    def _list_directly(self) -> None:
        """Direct paths came, went or are kept alive otherwise, for everybody."""
        able = [peer for peer in self.peers.values() if self.network.has_direct_paths and peer.has_direct_paths]
        self.direct = {peer.id: wire.encode(to_wire.neighbour(as_direct(self.network, peer))) for peer in able}

    def desired(self, peer: Peer) -> int:
        return desired_revision(self.network, peer)

    def news(self, peer: Peer, has: int | None) -> News:
        """What an agent that has revision `has` needs to be where it should."""
        desired = self.desired(peer)
        if has == desired:
            return News(desired)
        # An agent at 0 has no config that a delta could change.
        delta = None if not has or has > desired else self._delta(peer, has, desired)
        return News(desired, delta=delta) if delta is not None else News(desired, self.config(peer))

    def config(self, peer: Peer) -> wire.Config:
        """What the agent of `peer` shall make true."""
        if peer.blocked:
            return to_wire.config(self.network, peer, tunnel_for(self.network, (), peer))
        view = self._view(peer)
        if peer.is_jump:
            parts: Iterable[bytes] = (self.members[peer_id] for peer_id in self.listed if peer_id != peer.id)
        elif self._goes_directly(peer):
            parts = (*view.ways.values(), *(self.direct[peer_id] for peer_id in sorted(self.direct)))
        else:
            parts = view.ways.values()
        return self._own(view, peer, parts)

    def _own(self, view: View, peer: Peer, parts: Iterable[bytes]) -> wire.Config:
        """The config of `peer`, with what bridges add."""
        config = to_wire.personal(view.frame, self.network, peer, parts)
        bridged, requires = self._bridged(view, peer)
        return msgspec.structs.replace(config, bridged=bridged, requires=requires)

    def _bridged(self, view: View, peer: Peer) -> tuple[wire.Bridged | None, tuple[str, ...]]:
        """What active bridges add, and what all of it takes."""
        added = bridged_for(peer, self.crossings) if self.bridges else None
        if added is None:
            return None, view.frame.requires
        told = to_wire.bridged(replace(added, crossings=()), self.network)
        if not added.crossings:
            return told, view.frame.requires
        spans = to_wire.joined(self.spans[each.id] for each in added.crossings)
        return msgspec.structs.replace(told, crossings=spans), (*view.frame.requires, to_wire.BRIDGES)

    def _goes_directly(self, peer: Peer) -> bool:
        return self.network.has_direct_paths and peer.has_direct_paths

    def _view(self, peer: Peer) -> View:
        make = _make_of(peer)
        view = self.views.present.get(make)
        if view is None:
            view = self._jump_view(peer) if peer.is_jump else self._regular_view(peer)
            # What depends on a peer that is in no config ends no view.
            if peer.is_listed:
                self.views.present[make] = view
        return view

    def _jump_view(self, peer: Peer) -> View:
        others = [other for other in self.shared.values() if other.id != peer.id]
        tunnel = Tunnel(
            addresses=peer.addresses,
            mtu=self.network.mtu,
            listen_port=listen_port(self.network, peer),
            neighbours=(),
            routes=jump_routes(self.network, others),
            forwarding=jump_forwarding((), peer),
            dns=jump_dns(self.network),
        )
        return View(to_wire.config(self.network, peer, tunnel))

    def _regular_view(self, peer: Peer) -> View:
        # Those who are reached directly are many, and listed beside this.
        network = replace(self.network, direct_paths=DirectPaths.OFF)
        tunnel = replace(tunnel_for(network, self.shared.values(), peer, self.crossings), bridged=None)
        ways = {neighbour.public_key: wire.encode(to_wire.neighbour(neighbour)) for neighbour in tunnel.neighbours}
        return View(to_wire.config(network, peer, replace(tunnel, neighbours=())), ways)

    def _delta(self, peer: Peer, has: int, desired: int) -> str | None:
        """The way from `has` to `desired`, None where only a whole config leads there."""
        if peer.blocked or self.moved.get(peer.id, 0) > has:
            return None
        own = peer.revision > has
        # Jump peers are of one make, and only one of them holds the bridges.
        make = _make_of(peer), peer.is_jump and bool(self.bridges) and self.crossings.gateway == peer.id
        if not own and (told := self._deltas.get((make, has))) is not None:
            return told
        entries = self.log.since(has, is_jump=peer.is_jump)
        if entries is None:
            return None
        if own:
            patch = to_wire.whole_patch(self._own(self._view(peer), peer, ()))
            return self._encoded(peer, entries, (has, desired), patch)
        anchor = self.log.anchor(has, is_jump=peer.is_jump)
        known = self._deltas.get((make, anchor))
        if known is None:
            known = self._deltas[make, anchor] = self._encoded(peer, entries, (anchor, desired))
        self._deltas[make, has] = known
        return known

    def _encoded(
        self, peer: Peer, entries: Sequence[Entry], way: tuple[int, int], patch: wire.Patch | None = None
    ) -> str:
        """The delta along `way`, from one revision to another; `patch` where it is the peer's own."""
        view, old, ways = self._view(peer), self.views.at(_make_of(peer), way[0]), any(entry.ways for entry in entries)
        touched = {entry.peer: None for entry in entries if entry.peer is not None}
        parts = self.members if peer.is_jump else self.direct if self._goes_directly(peer) else {}
        upsert = [parts[peer_id] for peer_id in touched if peer_id in parts]
        present = {self.peers[peer_id].public_key for peer_id in touched if peer_id in parts}
        gone = {key for entry in entries for key in entry.keys} - present - view.ways.keys()
        if ways:
            changed, before = view.ways_from(old)
            upsert += changed
            gone.update(before)
        if patch is None:
            patch = view.patch_from(old) if ways else wire.Patch()
            if any(entry.bridged for entry in entries) or (ways and self.bridges):
                bridged, requires = self._bridged(view, peer)
                patch = msgspec.structs.replace(patch, bridged=bridged, requires=requires)
        delta = wire.Delta(*way, to_wire.joined(upsert), tuple(sorted(gone)), patch)
        return wire.encode(delta).decode()


def _make_of(peer: Peer) -> Hashable:
    """Peers of one make have the same config but for what is their own; a peer with ranges behind it is alone."""
    alone = peer.id if peer.offers else None
    flags = (
        peer.is_jump,
        peer.kind.has_agent,
        peer.isolated,
        peer.full_encapsulation,
        peer.is_listed,
        peer.has_direct_paths,
    )
    return alone, flags


def _frame_of(network: Network) -> Network:
    """`network` without what counts its changes."""
    return replace(network, revision=0, jump_revision=0, shared_revision=0, version=0, agents=0)
