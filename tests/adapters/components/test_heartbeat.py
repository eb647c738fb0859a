"""The component `heartbeat`: what we know of each other, what we speak, and a call back to whoever asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from isthmus.domain.federation.remote import State
from isthmus.protocol import heartbeat as wire
from isthmus.protocol.problem import Nested, Stage, problem
from isthmus.server.application.audit_witness import WitnessService
from isthmus.server.application.grant_repair import summary
from isthmus.server.application.heartbeat import HeartbeatComponent
from isthmus.server.federation_ports import OwnTrust
from isthmus.server.federation_records import Lane, LaneState
from isthmus.server.outward_ports import Errand, RemoteRefused
from isthmus.server.ports import Store
from tests.adapters.components.backend import A, Asking, Sockets, a_remote, answering, federated
from tests.application.backend import CountedIds, TurnedClock

REMOTE = a_remote(A, bundle_sequence=4, state=State.PENDING)


class Seven:
    async def trust(self) -> OwnTrust:
        return OwnTrust((), 7)


class Way:
    """Plays the Federator: notes what is to be called, and refuses as told."""

    def __init__(self) -> None:
        self.errands: list[Errand] = []
        self.refusal: RemoteRefused | None = None

    async def call(self, errand: Errand, body: Struct, response: type[Any]) -> Any:
        self.errands.append(errand)
        assert (type(body), response) == (wire.GetVersions, wire.Versions)
        if self.refusal is not None:
            raise self.refusal
        return wire.Versions([0])


@pytest.fixture
def way() -> Way:
    return Way()


@pytest.fixture
async def sockets(store: Store, tmp_path: Path, way: Way) -> AsyncIterator[Sockets]:
    await federated(store, REMOTE)
    witness = WitnessService(store, TurnedClock(), CountedIds(), way)
    components = {"heartbeat": HeartbeatComponent(way, Seven(), witness).endpoints()}
    async with answering(store, tmp_path, components) as made:
        yield made


async def activate(store: Store) -> None:
    async with store.transaction() as tx:
        remote = await tx.remotes.lock(A)
        await tx.remotes.save(a_remote(A, id=remote.id, version=remote.version + 1))


async def test_a_pending_remote_hears_what_we_know_of_it(sockets: Sockets, store: Store) -> None:
    async with store.transaction() as tx:
        await tx.outbox.save_lane(LaneState(REMOTE.id, Lane.STATE, sent=9, received=3))
    body = {"bundle_sequence": 5, "known_sequence": 7, "state": "pending", "sent": {"state": 4}}
    answer = (await sockets.ask(Asking("heartbeat", "beat", body))).json()
    assert answer.pop("time") > 1_700_000_000
    expected = {"bundle_sequence": 7, "known_sequence": 4, "state": "pending", "received": {"state": 3}}
    assert answer == {**expected, "audit_head": "", "audit_held": "", "bridges": {}, "grants": summary([])}


async def test_the_versions_are_those_that_we_speak(sockets: Sockets) -> None:
    answer = (await sockets.ask(Asking("heartbeat", "get-versions"))).json()
    assert answer["versions"] == [0]
    assert answer["software"].startswith("isthmus ")


async def test_a_call_back_goes_to_the_caller_that_was_proven(sockets: Sockets, store: Store, way: Way) -> None:
    await activate(store)
    ask = Asking("heartbeat", "call-back")
    context = ask.context()
    answer = await sockets.ask(ask)
    assert answer.json() == {"ok": True, "code": "", "detail": ""}
    (errand,) = way.errands
    assert (errand.domain, errand.component, errand.rpc) == (context.remote, "heartbeat", "get-versions")
    assert errand.request_id == answer.headers["x-request-id"]
    assert errand.idempotency_key is None


async def test_a_call_back_that_fails_tells_where(sockets: Sockets, store: Store, way: Way) -> None:
    await activate(store)
    detail = "no route\x1b[31m to infra.a.example " + "x" * 400
    document = problem("remote_refused", Stage.FEDERATOR_OUT, "r", detail, remote=Nested(403, "federation_denied"))
    way.refusal = RemoteRefused(document)
    answer = (await sockets.ask(Asking("heartbeat", "call-back"))).json()
    assert (answer["ok"], answer["code"]) == (False, "remote_refused")
    assert answer["detail"].startswith("federator_out: no route?[31m to infra.a.example")
    assert len(answer["detail"]) <= 255


async def test_a_pending_remote_is_not_called_back(sockets: Sockets, way: Way) -> None:
    answer = await sockets.ask(Asking("heartbeat", "call-back"))
    await sockets.denied(answer, 403, "federation_denied")
    assert way.errands == []
