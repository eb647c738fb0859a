"""Backend A, its network and what it grants to B; calls of B and C as the Federator of A would have admitted them."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network
from typing import Any
from uuid import UUID, uuid4

import httpx2
from msgspec import Struct

from isthmus.domain.federation.bridge import Bridge, State, Statement, Terms
from isthmus.domain.federation.bridge import Side as Proposer
from isthmus.domain.federation.grant import Grant
from isthmus.domain.federation.granting import Draft
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Remote
from isthmus.domain.federation.remote import State as Standing
from isthmus.domain.ids import NetworkId
from isthmus.protocol import resources as wire
from isthmus.server.application.grants import Issued
from isthmus.server.outward_ports import Errand
from isthmus.server.records import AuditEntry, Outcome
from tests.application.backend import ADA
from tests.application.pair import INSTANCE, Side
from tests.builders import NOON, a_network
from tests.contract.filling import put_network
from tests.tables import Contents, contents

B, C = BackendDomain("b.example"), BackendDomain("c.example")
OFFICE = a_network()
PLANT = a_network(id=NetworkId(UUID(int=2)), name="plant", cidr_v4=None, cidr_v6=IPv6Network("fd12:3456:789a:9::/64"))
OTHER_INSTANCE = "11111111-2222-3333-4444-555555555555"
SOURCE = "fd00:abcd:1234::7"
NETWORK = str(OFFICE.id)
LISTS: dict[str, list[str]] = {
    "instances": [INSTANCE],
    "networks": [NETWORK],
    "sources": ["fd00:abcd:1234::/48"],
}
ASKED = {"instances": "instance", "networks": "network", "sources": "source"}


def a_remote(domain: BackendDomain, number: int) -> Remote:
    return Remote(UUID(int=number), domain, 1, Standing.ACTIVE, NOON, (InfraDomain(f"infra.{domain}"),))


def a_bridge(number: int = 1, remote: BackendDomain = B, state: State = State.ACTIVE, **fields: Any) -> Bridge:
    """A bridge of the office whose both sides are in `state`."""
    bridge_id = UUID(int=number)
    theirs = Statement(bridge_id, 1, 1, state, Terms("theirs"))
    made = Bridge(bridge_id, remote, 1, 1, OFFICE.id, Proposer.OURS, state, NOON, NOON, theirs=theirs)
    return replace(made, **fields)


@dataclass
class Owner:
    """A, which owns the resources. `network` and the others are the facts of calls that say nothing else."""

    side: Side
    url: str
    network: str = NETWORK
    source: str = SOURCE
    instance: str = INSTANCE
    seen: int = 0
    draft: dict[str, Any] = field(
        default_factory=lambda: {
            "subject": f"bob@{B}",
            "kind": "network",
            "resource_id": NETWORK,
            "scopes": ["read"],
        }
    )

    async def prepare(self) -> None:
        await self.side.set_up()
        await put_network(self.side.store, OFFICE)
        await put_network(self.side.store, PLANT)
        async with self.side.store.transaction() as tx:
            await tx.remotes.add(a_remote(B, 901))
            await tx.remotes.add(a_remote(C, 902))
            await tx.bridges.add(a_bridge())
        await self.rows()

    async def grant(self, **fields: Any) -> Issued:
        """A grant of the office to bob of B, with the scope read and without restrictions, but for `fields`."""
        issued = await self.side.services.grants.create(ADA, Draft(**(self.draft | fields)))
        await self.rows()
        return issued

    async def present(self, grant_id: UUID) -> Grant:
        return (await self.side.services.grants.get(grant_id))[0]

    async def ask(self, token: str | None, body: Struct | None = None, **facts: Any) -> httpx2.Response:
        """A call of the component resources: `get` of the office, unless `body` says otherwise."""
        body = body or wire.GetResource("network", NETWORK)
        errand = Errand(self.side.domain, "resources", CALLS[type(body)], str(uuid4()))
        known = {"network": self.network, "source": self.source, "instance": self.instance}
        remote = facts.pop("remote", B)
        fields = known | {"remote": remote, "origin": remote, "generation": 1} | facts
        fields["assurance"] = "tcp" if fields["network"] == "wan" else "cryptokey"
        context = self.side.context(errand, body, **fields)
        key = str(uuid4()) if isinstance(body, wire.UpdateResource) else None
        header = token if token is None or token.startswith(("Bearer ", "Basic ")) else f"Bearer {token}"
        return await self.side.answer(context, body, key, header)

    async def rows(self) -> list[AuditEntry]:
        """The audit rows since the last time, oldest first."""
        async with self.side.store.reading() as tx:
            rows = await tx.journal.audit_page(1000)
        new = [row.entry for row in reversed(rows) if row.number > self.seen]
        self.seen = max([self.seen, *(row.number for row in rows)])
        return new

    async def passed(self, token: str | None, body: Struct | None = None, **facts: Any) -> AuditEntry:
        """Ask, and get 200 and one row of it."""
        answer = await self.ask(token, body, **facts)
        assert answer.status_code == 200, answer.text
        (row,) = await self.rows()
        assert (row.outcome, row.request_id) == (Outcome.DONE, answer.headers["x-request-id"])
        return row

    async def denied(
        self, code: str, token: str | None, body: Struct | None = None, **facts: Any
    ) -> tuple[dict[str, Any], AuditEntry]:
        """Ask, and be refused with `code`: one row, and nothing has changed. The problem, and the row."""
        before = await self.state()
        answer = await self.ask(token, body, **facts)
        problem: dict[str, Any] = answer.json()
        assert problem["code"] == code, problem
        assert answer.status_code == (401 if code in UNPROVEN else 403)
        (row,) = await self.rows()
        assert (row.outcome, row.request_id, row.facts["code"]) == (Outcome.DENIED, problem["request_id"], code)
        assert await self.state() == before
        return problem, row

    async def state(self) -> Contents:
        return await contents(self.url)


UNPROVEN = frozenset({"grant_token_required", "grant_invalid"})
CALLS = {
    wire.GetResource: "get",
    wire.ListResources: "list",
    wire.UpdateResource: "update",
    wire.ExportResource: "export",
    wire.GetGrants: "get-grants",
}
