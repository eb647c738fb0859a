"""A server that is linked with B, as if B had been there: what it said is in the store, hostile texts among it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import Bridge, Gateway, Side, State, Statement, Terms
from isthmus.domain.federation.finding import REMOTE_MISBEHAVES
from isthmus.domain.federation.grant import HeldGrant, Offered, Scope
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.remote import Remote
from isthmus.domain.federation.remote import State as Standing
from isthmus.domain.ids import NetworkId, PublicKey
from isthmus.server.adapters.db import open_store
from isthmus.server.federation_records import Lane, Message, RemoteFinding, RemoteInstance
from tests.api.agent import Agent, a_network, a_peer, a_public_key
from tests.server import Server
from tests.trusting import B, C, a_bridge, an_active_remote

# What runs where text is taken for markup.
MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
# The API takes no mark that turns what is read around; it may come from elsewhere.
PAYLOAD = f"{MARKUP}\u202egnp.exe"
CODE = "E3YD-8HZ9-10Q9"
PLANT = IPv4Network("10.99.0.0/16")


@dataclass
class Linked:
    """`active` is a bridge at work between "office" and B's network; `proposed` and `more` wait for our answer."""

    server: Server
    network: dict[str, Any]
    gateway: Agent
    laptop: Agent
    active: UUID
    proposed: UUID
    more: tuple[UUID, ...]
    service: str
    grant: str


def link(folder: Path) -> Linked:
    """A running server, for which `stop` is the caller's."""
    server = Server(folder)
    server.start()
    with server.local() as admin:
        domain = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
        admin.post("/federation/init", json=domain).raise_for_status()
        network = a_network(admin, cidr_v4="10.88.0.0/24")
        gateway = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
        made = a_peer(admin, network, owner=MARKUP)
        laptop = Agent.enrolled(server, made)
        body = {"network_id": network["id"], "name": "wiki", "ports": ["443"], "note": MARKUP}
        body["address"] = made["peer"]["addresses"][0]
        person = {"handle": "ann", "display_name": MARKUP}
        admin.post("/users", json=person).raise_for_status()
        service = admin.post("/services", json=body).raise_for_status().json()["id"]
    server.stop()
    linked = Linked(server, network, gateway, laptop, uuid4(), uuid4(), (uuid4(), uuid4(), uuid4()), service, "")
    # Playwright's loop may be running in this thread.
    with ThreadPoolExecutor(1) as beside:
        beside.submit(asyncio.run, fill(linked)).result()
    server.start()
    with server.local() as admin:
        grant = {"subject": "bob@b.example", "kind": "service", "resource_id": service, "scopes": ["connect"]}
        grant |= {"sources": [str(PLANT)], "note": MARKUP}
        linked.grant = admin.post("/grants", json=grant).raise_for_status().json()["grant"]["id"]
    return linked


async def fill(linked: Linked) -> None:
    now, network_id = datetime.now(UTC), NetworkId(UUID(linked.network["id"]))
    remote = replace(an_active_remote(), changed_at=now, contact=MARKUP, notes=MARKUP)
    pending = Remote(uuid4(), C, 1, Standing.PENDING, now, remote.infra_domains, short_code=CODE)
    store = await open_store(f"sqlite:///{linked.server.data / 'isthmus.db'}")
    async with store.transaction() as tx:
        for each in (remote, pending):
            await tx.remotes.add(each)
        for bridge in bridges(linked, network_id, now):
            await tx.bridges.add(bridge)
        instance = InstanceId(uuid4())
        await tx.remote_instances.save(RemoteInstance(B, instance, now, now, now, PAYLOAD))
        await tx.outbox.add(message_to(remote, now))
        finding = RemoteFinding(uuid4(), REMOTE_MISBEHAVES, B, now, now, 3, {"detail": PAYLOAD})
        await tx.findings.put(finding)
        await tx.held_grants.put(held(now))
    await store.close()


def bridges(linked: Linked, network_id: NetworkId, now: datetime) -> list[Bridge]:
    key = PublicKey(a_public_key())
    terms = Terms("plant", (PLANT,), (Gateway(key, (Endpoint("203.0.113.1", 51_820),)),), PLANT[1], 8443)
    offered = (IPv4Network(linked.network["cidr_v4"]),)
    statement = Statement(linked.active, 1, 1, State.ACTIVE, terms, MARKUP)
    common: dict[str, Any] = {"created_at": now, "changed_at": now, "reason": MARKUP}
    active = a_bridge(network_id=network_id, state=State.ACTIVE, accepted=(PLANT,), theirs=statement, **common)
    active = replace(active, id=linked.active, offered=offered, ours=Terms("office", offered))
    made = [active]
    for number, each in enumerate((linked.proposed, *linked.more), start=2):
        prefixes = IPv4Network(f"10.98.{number}.0/24"), IPv4Network(f"10.97.{number}.0/24")
        offer = replace(terms, network=f"plant-{number}", prefixes=prefixes)
        asked = replace(statement, bridge=each, generation=number, state=State.PROPOSED, terms=offer)
        bare = a_bridge(network_id=None, proposed_by=Side.THEIRS, theirs=asked, generation=number, ours=None, **common)
        made.append(replace(bare, id=each))
    return made


def message_to(remote: Remote, now: datetime) -> Message:
    body, error = {"what": "state", "lane": "state", "number": 1}, f"internal: {PAYLOAD}"
    return Message(remote.id, Lane.STATE, 900, "handshake", "notice", body, now, now, 2, error, PAYLOAD)


def held(now: datetime) -> HeldGrant:
    offered = Offered(PAYLOAD, "plant", "tcp", IPv4Address("10.99.0.7"), ((443, 443),))
    scopes, end = frozenset({Scope.CONNECT}), now + timedelta(days=30)
    return HeldGrant(uuid4(), B, 1, "ann@a.example", "service", None, scopes, now, end, services=(offered,))
