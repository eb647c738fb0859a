"""Two backends, each as the server assembles it, joined by a wire that stands for both Federators and all between."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import msgspec
from msgspec import Struct

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Remote, State, Strategy
from isthmus.protocol.context import HEADER, Context, seal
from isthmus.protocol.federation import IDEMPOTENCY_KEY
from isthmus.protocol.federator import Examination, Snapshot
from isthmus.protocol.places import Places
from isthmus.protocol.problem import Nested, Stage, problem
from isthmus.protocol.steady import since_start
from isthmus.server.adapters.vault import FileVault
from isthmus.server.application.crossing_watch import CrossingWatch
from isthmus.server.application.federation_facts import Draft
from isthmus.server.federation import Federation, Ground, assemble_federation
from isthmus.server.outward_ports import Errand, RemoteRefused
from isthmus.server.ports import Store
from isthmus.server.records import AuditEntry
from tests.application.backend import ADA, CountedIds, Heard, TurnedClock

T = TypeVar("T", bound=Struct)

INSTANCE = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@dataclass
class Wire:
    """Carries calls between sides. `down` are domains that nobody reaches; `lost` is asked of each answer whether the
    caller never sees it."""

    sides: dict[str, "Side"] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    lost: Callable[[Errand], bool] = lambda errand: False
    carried: list[tuple[str, Errand, Any]] = field(default_factory=list)

    async def carry(self, origin: "Side", errand: Errand, body: Struct) -> bytes:
        """The answer. Raises `RemoteRefused` as the own Federator would say no."""
        if errand.domain in self.down or errand.domain not in self.sides:
            raise refused("remote_refused", errand)
        target = self.sides[errand.domain]
        self.carried.append((origin.domain, errand, body))
        context = await self._context(origin, target, errand, body)
        if context is None:
            raise refused("remote_rejected_us", errand, Nested(403, "federation_denied"))
        answer = await target.answer(context, body, errand.idempotency_key)
        if self.lost(errand):
            raise refused("remote_timeout", errand)
        if answer.status_code == 200:
            return answer.content
        code = str(answer.json()["code"])
        ours = "remote_rejected_us" if answer.status_code in (401, 403) else "remote_error"
        raise refused(ours, errand, Nested(answer.status_code, code))

    async def _context(self, origin: "Side", target: "Side", errand: Errand, body: Struct) -> Context | None:
        """What the Federator of `target` would have proven; None where it lets nothing pass."""
        entry = next((each for each in (await origin.snapshot()).entries if each.domain == errand.domain), None)
        if entry is not None and entry.credential is not None:
            invitation = entry.credential.chain and await origin.invitation_of(errand.domain)
            return target.context(errand, body, origin=origin.domain, invitation=invitation or "")
        known = next((each for each in (await target.snapshot()).entries if each.domain == origin.domain), None)
        if known is None:
            return None
        return target.context(errand, body, remote=origin.domain, generation=known.generation, origin=origin.domain)

    def calls(self, rpc: str, domain: str | None = None) -> list[Any]:
        """The bodies of one call that were carried, in order."""
        return [body for _, errand, body in self.carried if errand.rpc == rpc and domain in (None, errand.domain)]


@dataclass
class Line:
    """One side's end of the wire: `Outward` of its server."""

    wire: Wire
    domain: str

    async def call(self, errand: Errand, body: Struct, response: type[T]) -> T:
        return msgspec.json.decode(await self.wire.carry(self.wire.sides[self.domain], errand, body), type=response)

    async def examine(self, domain: str, request_id: str) -> Examination:
        return Examination(domain, [])


class Side:
    """A backend. What the server repeats by itself, tests ask for: `work`."""

    def __init__(self, domain: str, store: Store, folder: Path, wire: Wire) -> None:
        self.domain, self.store, self.wire = domain, store, wire
        self.places = Places(folder)
        self.clock = TurnedClock()
        line = Line(wire, domain)
        folder.mkdir(exist_ok=True)
        self.heard = Heard()
        crossings = CrossingWatch(store, self.clock, self.heard)
        ground = Ground(store, self.clock, CountedIds(), FileVault(folder / "vault.key"), self.places, line, crossings)
        self.federation: Federation = assemble_federation(ground, line)
        self.services = self.federation.services
        wire.sides[domain] = self

    async def set_up(self, strategy: Strategy = Strategy.LIST) -> None:
        await self.services.facts.init(ADA, Draft(self.domain, [f"infra.{self.domain}"], strategy))

    async def snapshot(self) -> Snapshot:
        """What the own Federator goes by; it has it the moment that it is there."""
        prepared = await self.federation.snapshots.current()
        assert prepared is not None
        self.federation.snapshots.note_applied(prepared.generation)
        return msgspec.json.decode(prepared.snapshot, type=Snapshot)

    async def following(self) -> None:
        """For ever: be the Federator that takes each generation."""
        generation = 0
        while True:
            self.federation.snapshots.note_applied(generation)
            found = await self.federation.snapshots.after(generation, 5)
            generation = generation if found is None else found.generation

    async def work(self) -> None:
        """A turn of everything that the server does for remotes by itself."""
        for chore in self.federation.chores:
            if chore.name.startswith(("sending", "telling")):
                await chore.work()

    async def beat(self) -> None:
        await self.chore("heartbeats")

    async def chore(self, begin: str) -> None:
        """A turn of the chores whose name begins so."""
        for chore in self.federation.chores:
            if chore.name.startswith(begin):
                await chore.work()

    async def remote(self, domain: str) -> Remote:
        return (await self.services.remotes.details(BackendDomain(domain))).remote

    async def state(self, domain: str) -> State | None:
        try:
            return (await self.remote(domain)).state
        except NotFound:
            return None

    async def invitation_of(self, domain: str) -> str:
        async with self.store.reading() as tx:
            remote = await tx.remotes.get(BackendDomain(domain))
            return next(each.invitation for each in await tx.remotes.acceptances() if each.remote_id == remote.id)

    async def audit(self) -> list[AuditEntry]:
        """Oldest first."""
        async with self.store.reading() as tx:
            return [row.entry for row in reversed(await tx.journal.audit_page(1000))]

    async def actions(self) -> list[str]:
        return [row.action for row in await self.audit() if not row.action.startswith("certificate")]

    def context(self, errand: Errand, body: Struct, **fields: Any) -> Context:
        now = since_start()
        raw = msgspec.json.encode(body)
        known: dict[str, Any] = {
            "aud": errand.component,
            "method": "POST",
            "path": f"/federation/{errand.rpc}",
            "body": sha256(raw).hexdigest(),
            "remote": "",
            "generation": 0,
            "origin": "",
            "infra_domain": "",
            "instance": INSTANCE,
            "leaf": "",
            "network": "wan",
            "source": "192.0.2.9",
            "assurance": "tcp",
            "listener": "wan",
            "request_id": errand.request_id,
            "api_version": 0,
            "bundle_sequence": 1,
            "snapshot": 1,
            "iat": now,
            "exp": now + 10,
            "jti": str(uuid4()),
        }
        return Context(**(known | fields))

    async def answer(self, context: Context, body: Struct, key: str | None) -> httpx2.Response:
        """What the component answers to a call that the Federator has admitted."""
        sealed = seal(context, self.places.context_key(context.aud).read_bytes())
        headers = {HEADER: sealed, "Content-Type": "application/json"}
        if key is not None:
            headers[IDEMPOTENCY_KEY] = key
        app = self.federation.components[context.aud]
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://component") as client:
            return await client.post(context.path, content=msgspec.json.encode(body), headers=headers)


def refused(code: str, errand: Errand, nested: Nested | None = None) -> RemoteRefused:
    members: dict[str, Any] = {} if nested is None else {"remote": nested}
    return RemoteRefused(problem(code, Stage.FEDERATOR_OUT, errand.request_id, **members))


async def introduced(a: Side, b: Side) -> None:
    """`a` invites `b`, which accepts; nobody has confirmed yet."""
    made = await a.services.invitations.invite(ADA, b.domain)
    done = await b.services.invitations.accept(ADA, made.text)
    assert done.problem is None


async def federated(a: Side, b: Side) -> None:
    """Both active, and nothing waits."""
    await introduced(a, b)
    code = (await a.remote(b.domain)).short_code
    await a.services.remotes.confirm(ADA, BackendDomain(b.domain), code)
    await b.services.remotes.confirm(ADA, BackendDomain(a.domain), code)
    await asyncio.gather(a.work(), b.work())
    assert (await a.state(b.domain), await b.state(a.domain)) == (State.ACTIVE, State.ACTIVE)
