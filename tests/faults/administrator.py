"""Somebody who changes things all the time, and remembers what was answered and what was left without an answer."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2

from isthmus.domain.ids import PeerId
from tests.api.agent import a_public_key, enroll_body
from tests.faults.truth import Truth

FEWEST, MOST = 8, 40  # peers, so that a long run changes a network rather than filling it
ENROLL_TRIES = 200
Call = Callable[[], Awaitable[httpx2.Response]]


class Unanswered(Exception):
    """The connection broke, or the server failed: the change may have happened or not."""


@dataclass
class Known:
    """A peer that was answered for. `owner` holds the values that it may have: one, unless an answer is missing."""

    name: str
    kind: str
    network: str
    owner: set[str | None] = field(default_factory=lambda: {None})
    updates: int = 0
    updates_unanswered: int = 0
    is_deleted: bool = False
    may_be_deleted: bool = False


@dataclass
class Ledger:
    """What must be true in the end, if every answer is."""

    peers: dict[str, Known] = field(default_factory=dict)
    unanswered_names: set[str] = field(default_factory=set)

    def faults(self, truth: Truth) -> list[str]:
        """Every way in which the database does not keep what was answered."""
        found = []
        made = Counter(str(entry.facts["name"]) for entry in truth.audit if entry.action == "peer.create")
        updates = Counter(entry.subject for entry in truth.audit if entry.action == "peer.update")
        deletions = Counter(entry.subject for entry in truth.audit if entry.action == "peer.delete")
        for peer_id, known in self.peers.items():
            peer = truth.peers.get(PeerId(UUID(peer_id)))
            if made[known.name] != 1:
                found.append(f"{known.name} was made {made[known.name]} times")
            if known.is_deleted and (peer is not None or deletions[peer_id] != 1):
                found.append(f"{known.name} was deleted {deletions[peer_id]} times, and the answer said once")
            if peer is None and not (known.is_deleted or known.may_be_deleted):
                found.append(f"{known.name} is gone")
            if peer is not None and peer.owner not in known.owner:
                found.append(f"{known.name} belongs to {peer.owner}, not to {known.owner}")
            if not known.updates <= updates[peer_id] <= known.updates + known.updates_unanswered:
                found.append(f"{known.name} was updated {updates[peer_id]} times, {known.updates} were answered")
        found += [f"{name} was made {made[name]} times" for name in self.unanswered_names if made[name] > 1]
        return found


class Administrator:
    """One change at a time. `on_agent` is told of each agent that enrolled: its peer's id and its session."""

    def __init__(self, client: httpx2.AsyncClient, chance: random.Random, on_agent: Callable[[str, str], None]) -> None:
        self.ledger = Ledger()
        self.networks: list[str] = []
        self._client = client
        self._chance = chance
        self._on_agent = on_agent
        self._numbers = 0
        self._waiting: dict[str, dict[str, Any]] = {}
        self._turn = asyncio.Lock()

    async def prepare(self, networks: int, agents: int) -> None:
        """Networks with two jump peers, so many other agents, and a static peer each."""
        for number in range(networks):
            body = {"name": f"net-{number}", "cidr_v4": f"10.{number + 1}.0.0/20"}
            made = await self._client.post("/networks", json=body)
            self.networks.append(made.raise_for_status().json()["id"])
        for network in self.networks:
            for kind in ["jump", "jump", *["dynamic"] * agents, "static"]:
                await self._create(kind, network)
        await self.enroll_all()

    async def step(self) -> None:
        """Some change; it may be refused or stay unanswered. One after another, else nobody knew which came last."""
        async with self._turn:
            await self._step()

    async def _step(self) -> None:
        alive = [peer_id for peer_id, known in self.ledger.peers.items() if not self._is_gone(known)]
        draw = self._chance.random()
        try:
            if len(alive) < FEWEST or (draw < 0.2 and len(alive) < MOST):
                await self._create(self._chance.choice(["dynamic", "dynamic", "static"]))
            elif draw < 0.35 and len(alive) > FEWEST:
                await self._delete(self._chance.choice(alive))
            elif draw < 0.45:
                mtu = {"mtu": self._chance.choice([1280, 1340, 1380, 1420])}
                await self._answered(lambda: self._client.patch(f"/networks/{self._network()}", json=mtu))
            elif draw < 0.55 and self._waiting:
                await self._enroll(self._chance.choice(list(self._waiting)))
            else:
                await self._update(self._chance.choice(alive))
        except Unanswered:
            return

    @staticmethod
    def _is_gone(known: Known) -> bool:
        return known.is_deleted or known.may_be_deleted

    def _network(self) -> str:
        return self._chance.choice(self.networks)

    def _next_name(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}-{self._numbers}"

    async def _create(self, kind: str, network: str | None = None) -> None:
        network, name = network or self._network(), self._next_name(kind)
        body: dict[str, Any] = {"name": name, "kind": kind}
        if kind == "jump":
            body["endpoint"] = f"198.51.100.{self._numbers % 250 + 1}:51820"
        try:
            made = await self._answered(lambda: self._client.post(f"/networks/{network}/peers", json=body))
        except Unanswered:
            self.ledger.unanswered_names.add(name)
            raise
        if made is not None:
            peer_id = made["peer"]["id"]
            self.ledger.peers[peer_id] = Known(name, kind, network)
            if made["enrollment"] is not None:
                self._waiting[peer_id] = enroll_body(made["enrollment"]["token"], public_key=a_public_key())

    async def _enroll(self, peer_id: str) -> None:
        """Repeated with the same key until it is answered, as an agent does."""
        body = self._waiting[peer_id]
        answer = await self._answered(lambda: self._client.post("/agent/enroll", json=body))
        del self._waiting[peer_id]
        if answer is not None:
            self._on_agent(peer_id, answer["session_token"])

    async def enroll_all(self) -> None:
        """Every agent that was created and has not got through yet."""
        for _ in range(ENROLL_TRIES):
            if not self._waiting:
                return
            try:
                await self._enroll(next(iter(self._waiting)))
            except Unanswered:
                continue
        raise TimeoutError(f"{len(self._waiting)} agents could not enroll")

    async def _delete(self, peer_id: str) -> None:
        known = self.ledger.peers[peer_id]
        if known.kind == "jump":
            return
        try:
            done = await self._answered(lambda: self._client.delete(f"/peers/{peer_id}"))
        except Unanswered:
            known.may_be_deleted = True
            raise
        if done is not None:
            known.is_deleted = True
            self._waiting.pop(peer_id, None)

    async def _update(self, peer_id: str) -> None:
        known = self.ledger.peers[peer_id]
        self._numbers += 1
        owner = f"owner-{self._numbers}"
        body: dict[str, Any] = {"owner": owner} | self._some_change(known)
        try:
            done = await self._answered(lambda: self._client.patch(f"/peers/{peer_id}", json=body))
        except Unanswered:
            known.owner.add(owner)
            known.updates_unanswered += 1
            raise
        if done is not None:
            known.owner = {owner}
            known.updates += 1

    def _some_change(self, known: Known) -> dict[str, Any]:
        chance = self._chance
        if known.kind == "jump":
            return {"endpoint": f"198.51.100.{chance.randrange(1, 250)}:{chance.randrange(1024, 65000)}"}
        if chance.random() < 0.3:
            ranges = [f"192.168.{chance.randrange(250)}.0/24"] if chance.random() < 0.6 else []
            return {"additional_allowed_ips": ranges, "isolated": False}
        if chance.random() < 0.5:
            return {"isolated": chance.random() < 0.3, "additional_allowed_ips": []}
        return {"full_encapsulation": chance.random() < 0.3, "name": self._renamed(known)}

    def _renamed(self, known: Known) -> str:
        """The name that it was made with, and a number: the ledger goes by the first."""
        return f"{known.name}-{self._chance.randrange(1000)}"

    async def _answered(self, call: Call) -> Any:
        """The answer; None for a refusal. Raises `Unanswered` where nobody knows what happened."""
        try:
            answer = await call()
        except httpx2.TransportError as error:
            raise Unanswered from error
        if answer.status_code >= 500:
            raise Unanswered
        if answer.is_error:
            return None
        return answer.json() if answer.content else {}
