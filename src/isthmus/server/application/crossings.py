"""What bridges and grants open, kept in step with them: whatever changes either ends with the next revision of the
networks that it concerns, in the same transaction."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.joining import Facts, crossings_of
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import Crossing, Crossings, outline_of
from isthmus.domain.mesh.network import Network
from isthmus.server.application.revisions import advance_bridge
from isthmus.server.ports import Transaction
from isthmus.server.records import Commit


async def recompile(tx: Transaction, network_ids: Iterable[NetworkId], now: datetime) -> list[Commit]:
    """Bring what these networks are told of bridges up to date, and return what to tell once that is committed; nothing
    where nothing differs. The caller has locked the remotes and networks that it changes, in this order."""
    commits: list[Commit] = []
    for network_id in sorted(set(network_ids)):
        try:
            network = await tx.networks.lock(network_id)
        except NotFound:
            continue
        commits += await _recompiled(tx, network, now)
    return commits


async def recompile_remote(tx: Transaction, domain: BackendDomain, now: datetime) -> list[Commit]:
    """The same for all networks that have, or had, a bridge of this remote, where nothing else has changed."""
    bridges, commits = await tx.bridges.of_remote(domain), []
    for network_id in sorted({bridge.network_id for bridge in bridges if bridge.network_id is not None}):
        reflowed = await _reflowed(tx, network_id, domain, now)
        commits += await recompile(tx, [network_id], now) if reflowed is None else reflowed
    return commits


async def _reflowed(
    tx: Transaction, network_id: NetworkId, domain: BackendDomain, now: datetime
) -> list[Commit] | None:
    """What follows where the remote's crossing keeps its key and prefixes, on which those of others depend: no more
    than that one is looked at. None where it may not keep them."""
    try:
        network = await tx.networks.lock(network_id)
    except NotFound:
        return []
    outlines = await tx.crossings.outlines(network_id)
    known = [outline for outline in outlines if outline.name == domain]
    bridge = await tx.bridges.live(domain, network_id)
    if bridge is None or [outline.id for outline in known] != [bridge.id]:
        return None
    facts = await facts_of(tx, network, now, of=bridge)
    first = [outline for outline in outlines if outline.id < bridge.id]
    keys = facts.keys | {outline.public_key for outline in first}
    ranges = (*facts.ranges, *(prefix for outline in first for prefix in outline.prefixes))
    after = crossings_of(replace(facts, keys=keys, ranges=ranges), now)
    if [outline_of(crossing) for crossing in after] != known:
        return None
    (crossing,) = after
    if crossing == await tx.crossings.get(bridge.id):
        return []
    await tx.crossings.put(network_id, crossing)
    return [await advance_bridge(tx, network, (bridge.id, crossing), now, everyone=False)]


async def _recompiled(tx: Transaction, network: Network, now: datetime) -> list[Commit]:
    before = {crossing.id: crossing for crossing in await tx.crossings.of_network(network.id)}
    facts = await facts_of(tx, network, now)
    after = {crossing.id: crossing for crossing in crossings_of(facts, now)}
    if before == after:
        return []
    present, commits = dict(before), []
    # Those that end first: what they held may be another's now.
    for bridge_id in (*sorted(before.keys() - after.keys()), *sorted(after)):
        crossing = after.get(bridge_id)
        if crossing == before.get(bridge_id):
            continue
        reached = _prefixes(present)
        if crossing is None:
            del present[bridge_id]
            await tx.crossings.delete(bridge_id)
        else:
            present[bridge_id] = crossing
            await tx.crossings.put(network.id, crossing)
        commit = await advance_bridge(tx, network, (bridge_id, crossing), now, everyone=_prefixes(present) != reached)
        network = commit.at
        commits.append(commit)
    return commits


def _prefixes(crossings: Mapping[UUID, Crossing]) -> tuple[IPNetwork, ...]:
    return Crossings(bridges=tuple(crossings.values())).prefixes


async def facts_of(tx: Transaction, network: Network, now: datetime, *, of: Bridge | None = None) -> Facts:
    """All that decides on the crossings of a network, as it is now, or on the one `of` a bridge alone. One without
    active bridges costs one query at most."""
    bridges = await tx.bridges.of_network(network.id) if of is None else [of]
    active = [bridge for bridge in bridges if bridge.is_effective]
    if not active:
        return Facts(network, (), {})
    federation = await tx.federation.get()
    domains = {bridge.remote for bridge in active}
    only = None if of is None else of.remote
    remotes = await tx.remotes.all() if of is None else [await tx.remotes.get(of.remote)]
    shared = await tx.peers.in_every_config(network.id)
    gateways = [each.public_key for bridge in active if bridge.theirs for each in bridge.theirs.terms.gateways[:1]]
    return Facts(
        network=network,
        bridges=active,
        remotes={remote.domain: remote for remote in remotes if remote.domain in domains},
        grants=[grant for grant in await tx.grants.live(now, only) if grant.remote in domains],
        held=[grant for grant in await tx.held_grants.live(now, only) if grant.remote in domains],
        services=await tx.services.of_network(network.id),
        instances=await tx.instances.addresses(network.id),
        blocked=await _blocked(tx, domains),
        keys=frozenset(await tx.peers.with_keys(gateways)),
        ranges=tuple(offer for peer in shared for offer in peer.offers),
        strategy=Strategy.LIST if federation is None else federation.strategy,
    )


async def _blocked(tx: Transaction, domains: Collection[BackendDomain]) -> dict[BackendDomain, frozenset[InstanceId]]:
    """The instances of each remote that are blocked or count no more."""
    found: dict[BackendDomain, set[InstanceId]] = {}
    for instance in await tx.remote_instances.blocked():
        if instance.domain in domains:
            found.setdefault(instance.domain, set()).add(instance.instance)
    for revocation in await tx.revocations.all():
        if revocation.domain in domains and revocation.instance is not None:
            found.setdefault(revocation.domain, set()).add(revocation.instance)
    return {domain: frozenset(instances) for domain, instances in found.items()}
