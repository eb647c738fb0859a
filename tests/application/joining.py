"""Two federated backends with a network each, and the bridge between them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from isthmus.domain.errors import InvalidValue, NotFound, PreconditionFailed, TransitionNotAllowed
from isthmus.domain.federation.bridge import Action, Bridge, Hold, State, Statement
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.network import Network
from isthmus.protocol import bridges as wire
from isthmus.server.application.bridges import Acceptance, BridgeService, Proposal, Shown
from isthmus.server.outward_ports import Errand
from isthmus.server.ports import Conflict
from isthmus.server.records import AuditEntry
from tests.application.backend import ADA
from tests.application.pair import Side, federated
from tests.builders import ULA, a_jump, a_network
from tests.contract.filling import put_network, put_peers

A, B = BackendDomain("a.example"), BackendDomain("b.example")
OFFICE = a_network()
PLANT = a_network(
    id=NetworkId(UUID(int=71)),
    name="plant",
    cidr_v4=IPv4Network("10.99.0.0/24"),
    cidr_v6=IPv6Network("fd99:1:2:1::/64"),
    domain="plant.internal",
)
LAB = a_network(
    id=NetworkId(UUID(int=72)),
    name="lab",
    cidr_v4=IPv4Network("10.98.0.0/24"),
    cidr_v6=IPv6Network("fd99:1:2:2::/64"),
    domain="lab.internal",
)


PLANT_V4 = IPv4Network("10.99.0.0/24")
Refused = (TransitionNotAllowed, NotFound, Conflict, PreconditionFailed, InvalidValue)


@dataclass
class Joined:
    """`a` has "office", `b` has "plant" and "lab", each with a jump peer; nobody has proposed anything yet."""

    a: Side
    b: Side

    async def propose(self, network: Network = OFFICE, **fields: Any) -> UUID:
        """A asks B; B has heard of it."""
        made = await self.a.services.bridges.propose(ADA, Proposal(B, network.id, **fields))
        await self.settle()
        return made.bridge.id

    async def accept(self, bridge_id: UUID, network: Network = PLANT, **fields: Any) -> Shown:
        """B's operator accepts; both sides have heard the other."""
        done = await self.b.services.bridges.accept(ADA, bridge_id, Acceptance(network.id, **fields), None)
        await self.settle()
        return done

    async def joined(self) -> UUID:
        """An effective bridge of "office" and "plant"."""
        bridge_id = await self.propose()
        await self.accept(bridge_id)
        assert await self.states(bridge_id) == (State.ACTIVE, State.ACTIVE)
        return bridge_id

    async def settle(self) -> None:
        """Until nobody has anything to send: a word, the answer to it, and the answer to that."""
        for _ in range(3):
            await self.a.work()
            await self.b.work()

    async def states(self, bridge_id: UUID) -> tuple[State, State]:
        return (await bridge_of(self.a, bridge_id)).state, (await bridge_of(self.b, bridge_id)).state

    async def are_effective(self, bridge_id: UUID) -> tuple[bool, bool]:
        return await is_effective(self.a, bridge_id), await is_effective(self.b, bridge_id)


async def prepared(a: Side, b: Side) -> Joined:
    await federated(a, b)
    for side, ula, networks in ((a, ULA, [OFFICE]), (b, IPv6Network("fd99:1:2::/48"), [PLANT, LAB])):
        async with side.store.transaction() as tx:
            await tx.backend.set_ula(ula)
        for number, network in enumerate(networks):
            await put_network(side.store, network)
            jump = 1 if side is a else 91 + number
            await put_peers(side.store, [a_jump(jump, network)])
    return Joined(a, b)


async def bridge_of(side: Side, bridge_id: UUID) -> Bridge:
    return (await side.services.bridges.get(bridge_id)).bridge


async def is_effective(side: Side, bridge_id: UUID) -> bool:
    return not (await side.services.bridges.get(bridge_id)).obstacles


async def rows(side: Side, action: str) -> list[AuditEntry]:
    return [row for row in await side.audit() if row.action == action]


async def told(speaker: Side, hearer: Side, statement: Statement, generation: int = 1) -> httpx2.Response:
    """A statement that `speaker` signs with its own key, whatever it says, as `hearer` answers it."""
    errand = Errand(hearer.domain, "bridges", "tell", str(uuid4()))
    async with speaker.store.reading() as tx:
        key = await speaker.services.certificates.message_key(tx)
    body = wire.Tell(wire.seal(statement, BackendDomain(speaker.domain), BackendDomain(hearer.domain), key))
    context = hearer.context(errand, body, remote=speaker.domain, origin=speaker.domain, generation=generation)
    return await hearer.answer(context, body, str(uuid4()))


def by(service: BridgeService, action: Action) -> Callable[[UUID], Awaitable[Shown]]:
    """What an operator types for `action`."""
    if action is Action.ACCEPT:
        return lambda bridge_id: service.accept(ADA, bridge_id, Acceptance(PLANT.id), None)
    return lambda bridge_id: service.act(ADA, bridge_id, (action, Hold.OPERATOR), "because")


async def unmoved(side: Side, attempt: Awaitable[Any], bridge_id: UUID) -> Exception:
    """The refusal of `attempt`, which has changed nothing of the bridge."""
    before = await bridge_of(side, bridge_id)
    with pytest.raises(Refused) as refusal:
        await attempt
    assert await bridge_of(side, bridge_id) == before
    return refusal.value


async def put_in_state(side: Side, bridge_id: UUID, state: State) -> None:
    """As if all that leads there had happened."""
    holds = frozenset({Hold.OPERATOR}) if state is State.SUSPENDED else frozenset()
    async with side.store.transaction() as tx:
        await tx.bridges.save(replace(await tx.bridges.get(bridge_id), state=state, holds=holds))
