"""What bridges and grants open, kept in step with them: whatever changes either ends with the next revision of the
networks that it concerns, in the same transaction."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.joining import Facts, crossings_of
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import Crossing, Crossings
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
    """The same for all networks that have, or had, a bridge of this remote."""
    bridges = await tx.bridges.of_remote(domain)
    return await recompile(tx, (bridge.network_id for bridge in bridges if bridge.network_id is not None), now)


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


async def facts_of(tx: Transaction, network: Network, now: datetime) -> Facts:
    """All that decides on the crossings of a network, as it is now. One without active bridges costs one query."""
    bridges = await tx.bridges.of_network(network.id)
    active = [bridge for bridge in bridges if bridge.is_effective]
    if not active:
        return Facts(network, (), {})
    federation = await tx.federation.get()
    domains = {bridge.remote for bridge in active}
    shared = await tx.peers.in_every_config(network.id)
    gateways = [each.public_key for bridge in active if bridge.theirs for each in bridge.theirs.terms.gateways[:1]]
    return Facts(
        network=network,
        bridges=active,
        remotes={remote.domain: remote for remote in await tx.remotes.all() if remote.domain in domains},
        grants=[grant for grant in await tx.grants.live(now) if grant.remote in domains],
        held=[grant for grant in await tx.held_grants.live(now) if grant.remote in domains],
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
