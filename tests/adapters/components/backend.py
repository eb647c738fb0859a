"""Component sockets of b.example on a real store, and a Federator's side that seals contexts for them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec

from isthmus.domain.federation.directory import User, Visibility
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Remote, State, Strategy
from isthmus.protocol.context import HEADER, LIFE, Context, seal
from isthmus.protocol.handshake import Standing
from isthmus.protocol.places import Places
from isthmus.protocol.steady import since_start
from isthmus.server.adapters.clock import SystemClock
from isthmus.server.adapters.components.contexts import Gate
from isthmus.server.adapters.components.plane import ComponentApp, Ledger
from isthmus.server.adapters.listeners import Listener, Watch, bind_unix, serve
from isthmus.server.adapters.vault import FileVault
from isthmus.server.application.calls import Call, Component, Writing
from isthmus.server.application.denials import DenialService
from isthmus.server.application.effects import Effects
from isthmus.server.application.gate import Gatekeeper
from isthmus.server.application.grant_tokens import GrantTokens
from isthmus.server.application.tally import Tally
from isthmus.server.federation_records import Federation
from isthmus.server.ports import Store, Transaction
from isthmus.server.records import AuditEntry, Outcome

A, B, C = (BackendDomain(f"{letter}.example") for letter in "abc")
INSTANCE = UUID("0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b")
KEY = b"k" * 32


def a_remote(domain: BackendDomain, **fields: Any) -> Remote:
    given: dict[str, Any] = {
        "id": uuid4(),
        "domain": domain,
        "generation": 1,
        "state": State.ACTIVE,
        "changed_at": datetime.now(UTC),
        "infra_domains": (InfraDomain(f"infra.{domain}"),),
    }
    return Remote(**(given | fields))


async def federated(store: Store, *remotes: Remote) -> None:
    """Make the backend b.example with these remotes."""
    async with store.transaction() as tx:
        await tx.federation.add(Federation(B, (InfraDomain("infra.b.example"),), Strategy.LIST))
        for remote in remotes:
            await tx.remotes.add(remote)


@dataclass
class Asking:
    """One request of the Federator. `sealed` changes the context that fits, `headers` those that go with it."""

    component: str
    rpc: str
    body: Any = field(default_factory=dict)
    remote: BackendDomain = A
    sealed: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    method: str = "POST"
    key: bytes = KEY

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    @property
    def path(self) -> str:
        return f"/federation/{self.rpc}"

    def context(self) -> Context:
        now = since_start()
        context = Context(
            aud=self.component,
            method=self.method,
            path=self.path,
            body=sha256(self.raw).hexdigest(),
            remote=self.remote,
            generation=1,
            origin=self.remote,
            infra_domain=f"infra.{self.remote}",
            instance=str(INSTANCE),
            leaf="f" * 64,
            network="wan",
            source="192.0.2.7",
            assurance="tcp",
            listener="wan",
            request_id=str(uuid4()),
            api_version=0,
            bundle_sequence=1,
            snapshot=1,
            iat=now,
            exp=now + LIFE,
            jti=uuid4().hex,
        )
        return msgspec.structs.replace(context, **self.sealed)

    def sent(self) -> dict[str, str]:
        own = {"content-type": "application/json", HEADER: seal(self.context(), self.key)}
        every: dict[str, str | None] = {**own, **self.headers}
        return {name: value for name, value in every.items() if value is not None}


class NoInstances:
    def name_of(self, instance: object) -> None:
        return None


def registering(effect: Callable[[Call, Transaction], Awaitable[None]] | None = None) -> dict[str, Component]:
    """The component `handshake` with a mutation that anybody can see: it adds a user of that short code."""

    async def confirm(call: Call, tx: Transaction) -> Standing:
        user = User(uuid4(), call.body.short_code, "", Visibility.NOBODY, datetime.now(UTC))
        await tx.directory.add(user)
        if effect is not None:
            await effect(call, tx)
        return Standing(str(user.id))

    async def other(call: Call, tx: Transaction) -> Standing:
        raise AssertionError(call.rpc)

    return {"handshake": {"confirm": Writing(confirm), "notice": Writing(other), "accept": Writing(other)}}


def changing(code: str = "bob", once: str | None = "key-1", **fields: Any) -> Asking:
    """The mutation of `registering`."""
    headers = {"idempotency-key": once, **fields.pop("headers", {})}
    return Asking("handshake", "confirm", {"short_code": code}, headers=headers, **fields)


@dataclass
class Sockets:
    """The sockets of the components, and the audit log behind them."""

    store: Store
    places: Places
    seen: int = 0

    async def ask(self, asking: Asking, *, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """`headers` stand for all that would be sent."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.places.component(asking.component)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://component", timeout=20) as client:
            sent = asking.sent() if headers is None else headers
            return await client.request(asking.method, asking.path, content=asking.raw, headers=sent)

    async def rows(self) -> list[AuditEntry]:
        """The rows since the last time, oldest first."""
        async with self.store.reading() as tx:
            rows = await tx.journal.audit_page(1000)
        new = [row.entry for row in reversed(rows) if row.number > self.seen]
        self.seen = max([self.seen, *(row.number for row in rows)])
        return new

    async def denied(self, answer: httpx2.Response, status: int, code: str) -> AuditEntry:
        """The one row of a refusal, which is a problem document as every other."""
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.content) <= 4096
        assert problem["stage"] == "component"
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert problem["retryable"] in {True, False}
        (row,) = await self.rows()
        assert (row.outcome, row.request_id) == (Outcome.DENIED, problem["request_id"])
        return row


@contextlib.asynccontextmanager
async def answering(store: Store, folder: Path, components: Mapping[str, Component]) -> AsyncIterator[Sockets]:
    """The components on their sockets, until the block ends."""
    places = Places(folder)
    for path in (places.run, places.context_key("any").parent):
        path.mkdir(mode=0o700, parents=True)
    effects = Effects(store, components, Gatekeeper(GrantTokens(FileVault(folder / "vault.key"))))
    ledger = Ledger(store, DenialService(store, SystemClock(), Tally()), Tally())
    listeners = []
    for name in components:
        places.context_key(name).write_bytes(KEY)
        app = ComponentApp(name, Gate(name, places.context_key(name)), effects, ledger)
        path = places.component(name)
        listeners.append(Listener(bind_unix(path), str(path), app=app))
    stop = asyncio.Event()
    first = listeners[0].app
    serving = asyncio.create_task(serve(first, listeners, stop, lambda: None, Watch(Tally(), lambda *_: None, 256)))  # type: ignore[arg-type]
    try:
        yield Sockets(store, places)
    finally:
        stop.set()
        await serving
        for listener in listeners:
            listener.close()
