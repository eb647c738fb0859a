"""Every endpoint of every component passes the one gate, in the transaction of its effect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from isthmus.domain.federation.grant import Grant, GrantToken, Scope
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.remote import Action, Direction, Remote, Strategy
from isthmus.protocol.federation import COMPONENTS, RPCS, Admits
from isthmus.server.adapters.vault import FileVault
from isthmus.server.application.calls import Call, Component, Endpoint, Outside, Reading, TableDiffers, Writing
from isthmus.server.application.components import Components
from isthmus.server.federation_records import RemoteInstance
from isthmus.server.ports import Store, Transaction
from tests.adapters.components.backend import INSTANCE, A, Asking, Sockets, a_remote, answering, federated
from tests.application.backend import BOTH_DATABASES

SAMPLES: Mapping[tuple[str, str], Any] = {
    ("directory", "get-user-by-handle"): {"handle": "alice"},
    ("directory", "search-users"): {"begins": "al"},
    ("directory", "get-instance"): {"instance": str(INSTANCE)},
    ("handshake", "accept"): {"invitation": str(INSTANCE), "secret": "s", "bundle": "b"},
    ("handshake", "confirm"): {"short_code": "K7PD-9QXM-3T4W"},
    ("handshake", "notice"): {"what": "suspended", "lane": "state", "number": 1},
    ("heartbeat", "beat"): {"bundle_sequence": 1, "known_sequence": 1, "state": "active", "sent": {}},
    ("heartbeat", "get-versions"): {},
    ("heartbeat", "call-back"): {},
    ("heartbeat", "get-audit-heads"): {},
    ("grants", "tell"): {
        "id": str(INSTANCE),
        "revision": 1,
        "subject": "bob@b.example",
        "kind": "network",
        "resource_id": None,
        "scopes": ["read"],
        "issued_at": 1.0,
        "expires_at": 2.0,
    },
    ("grants", "get"): {},
    ("bridges", "tell"): {"statement": "e30.e30.e30"},
    ("bridges", "get"): {"bridge": str(uuid4())},
    ("resources", "get"): {"kind": "network", "id": "1"},
    ("resources", "list"): {"kind": "network"},
    ("resources", "update"): {"kind": "network", "id": "1", "changes": {"note": ""}},
    ("resources", "export"): {"kind": "network", "id": "1"},
    ("resources", "get-grants"): {"kind": "network"},
}
PUBLIC, SECRET = "A" * 12, "B" * 43
# What a grant that allows everything of its kind is used by.
BEARER = f"Bearer isthmus-grant-{PUBLIC}.{SECRET}"
GRANTED = [key for key, rpc in RPCS.items() if rpc.scope is not None]
FOR_REMOTES = [key for key, rpc in RPCS.items() if rpc.admits != frozenset({Admits.INVITED})]
Change = Callable[[Transaction, Remote], Awaitable[None]]


class Recorder:
    """Every call of the table, answered by something that only notes that it was asked."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.pause: Callable[[], Awaitable[None]] | None = None

    def components(self) -> dict[str, Component]:
        return {
            name: {rpc: self._endpoint(name, rpc) for component, rpc in RPCS if component == name}
            for name in COMPONENTS
        }

    def _endpoint(self, name: str, rpc: str) -> Endpoint:
        async def within(call: Call, tx: Transaction) -> msgspec.Struct:
            return await self._note(call)

        if RPCS[name, rpc].writes:
            return Writing(within)
        return Outside(self._note) if rpc == "call-back" else Reading(within)

    async def _note(self, call: Call) -> msgspec.Struct:
        if self.pause is not None:
            await self.pause()
        self.asked.append(call)
        return msgspec.defstruct("Nothing", [])()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def remote() -> Remote:
    return a_remote(A)


@pytest.fixture
async def sockets(store: Store, tmp_path: Path, recorder: Recorder, remote: Remote) -> AsyncIterator[Sockets]:
    await federated(store, remote)
    async with answering(store, tmp_path, recorder.components()) as made:
        await put_grant(store, FileVault(tmp_path / "vault.key"))
        yield made


async def put_grant(store: Store, vault: FileVault) -> None:
    now = datetime.now(UTC)
    end = now + timedelta(hours=1)
    grant = Grant(uuid4(), A, 1, "bob@a.example", "user:ada", "network", None, frozenset(Scope), now, end)
    async with store.transaction() as tx:
        await tx.grants.add(grant)
        await tx.grants.add_token(GrantToken(PUBLIC, grant.id, vault.digest(f"{PUBLIC}.{SECRET}"), now))


def asking(key: tuple[str, str], **fields: Any) -> Asking:
    headers = {"idempotency-key": uuid4().hex, "authorization": BEARER}
    return Asking(*key, SAMPLES[key], headers=headers | fields.pop("headers", {}), **fields)


async def suspend(tx: Transaction, remote: Remote) -> None:
    await tx.remotes.save(remote.after(Action.SUSPEND, datetime.now(UTC)))


async def revoke(tx: Transaction, remote: Remote) -> None:
    await tx.remotes.save(remote.after(Action.REVOKE, datetime.now(UTC)))


async def renew(tx: Transaction, remote: Remote) -> None:
    await revoke(tx, remote)
    await tx.remotes.add(a_remote(A, generation=2))


async def expire(tx: Transaction, remote: Remote) -> None:
    await tx.remotes.save(replace(remote, expires_at=datetime.now(UTC) - timedelta(seconds=1), version=2))


async def block(tx: Transaction, remote: Remote) -> None:
    await tx.remote_instances.save(RemoteInstance(A, InstanceId(INSTANCE), blocked_at=datetime.now(UTC)))


async def close(tx: Transaction, remote: Remote) -> None:
    await tx.federation.save(replace(await tx.federation.lock(), strategy=Strategy.NONE))


CHANGES: Mapping[str, tuple[Change, str, str]] = {
    "revoked": (revoke, "remote_revoked", "remote_revoked"),
    "made anew": (renew, "federation_denied", "generation"),
    "expired": (expire, "federation_denied", "remote_expired"),
    "blocked": (block, "instance_blocked", "instance_blocked"),
    "no federation": (close, "federation_denied", "strategy_none"),
}


@pytest.mark.parametrize("key", FOR_REMOTES, ids="/".join)
async def test_no_endpoint_is_asked_once_the_remote_may_not_call(
    sockets: Sockets, store: Store, recorder: Recorder, remote: Remote, key: tuple[str, str]
) -> None:
    """The Federator's snapshot may be a moment old: its context is as good as ever."""
    answer = await sockets.ask(asking(key))
    assert answer.status_code == 200, answer.text
    (asked,) = recorder.asked
    assert asked.permit.remote == remote
    async with store.transaction() as tx:
        await revoke(tx, remote)
    await sockets.rows()
    row = await sockets.denied(await sockets.ask(asking(key)), 403, "remote_revoked")
    assert row.actor == f"remote:a.example/{INSTANCE}"
    assert recorder.asked == [asked]


@pytest.mark.parametrize("key", GRANTED, ids="/".join)
async def test_no_endpoint_that_needs_a_grant_is_asked_without_one(
    sockets: Sockets, recorder: Recorder, key: tuple[str, str]
) -> None:
    answer = await sockets.ask(asking(key, headers={"authorization": None}))
    await sockets.denied(answer, 401, "grant_token_required")
    assert recorder.asked == []


def test_a_call_that_neither_names_a_scope_nor_does_without_a_grant_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(call: Call, tx: Transaction) -> msgspec.Struct:
        raise AssertionError

    planted = msgspec.structs.replace(RPCS["resources", "get"], scope=None)
    monkeypatch.setitem(RPCS, ("resources", "get-everything"), planted)
    with pytest.raises(TableDiffers, match="resources/get-everything needs no grant"):
        Components().register("resources", {"get-everything": Reading(answer)})
    nameless = msgspec.structs.replace(RPCS["directory", "get-instance"], scope=Scope.READ)
    monkeypatch.setitem(RPCS, ("resources", "get-anything"), nameless)
    with pytest.raises(TableDiffers, match="resources/get-anything needs a grant and does not say"):
        Components().register("resources", {"get-anything": Writing(answer)})


@pytest.mark.parametrize("what", CHANGES)
async def test_what_changes_meanwhile_counts(
    sockets: Sockets, store: Store, remote: Remote, recorder: Recorder, what: str
) -> None:
    change, code, reason = CHANGES[what]
    async with store.transaction() as tx:
        await change(tx, remote)
    answer = await sockets.ask(asking(("directory", "get-user-by-handle")))
    assert (await sockets.denied(answer, 403, code)).reason == reason
    assert recorder.asked == []


async def test_a_suspended_remote_may_still_send_its_notices(
    sockets: Sockets, store: Store, remote: Remote, recorder: Recorder
) -> None:
    async with store.transaction() as tx:
        await suspend(tx, remote)
    assert (await sockets.ask(asking(("handshake", "notice")))).status_code == 200
    for key in FOR_REMOTES:
        if Admits.SUSPENDED not in RPCS[key].admits:
            assert (await sockets.ask(asking(key))).json()["code"] == "remote_suspended", key
    assert len(recorder.asked) == 1


async def test_an_invitation_opens_the_one_call_that_it_is_for(sockets: Sockets, recorder: Recorder) -> None:
    invited = {"remote": "", "generation": 0, "invitation": str(uuid4())}
    assert (await sockets.ask(asking(("handshake", "accept"), sealed=invited))).status_code == 200
    for key in FOR_REMOTES:
        answer = await sockets.ask(asking(key, sealed=invited))
        assert (answer.status_code, answer.json()["code"]) == (403, "federation_denied"), key
    assert len(recorder.asked) == 1
    # And nobody but an invited one gets there.
    assert (await sockets.ask(asking(("handshake", "accept")))).status_code == 403
    both = {"invitation": str(uuid4())}
    assert (await sockets.ask(asking(("handshake", "accept"), sealed=both))).status_code == 403
    assert len(recorder.asked) == 1


async def test_a_remote_gets_to_the_components_that_it_was_given(
    store: Store, tmp_path: Path, recorder: Recorder
) -> None:
    await federated(store, a_remote(A, components=frozenset({"bridges"}), direction=Direction.OUT))
    async with answering(store, tmp_path, recorder.components()) as sockets:
        answer = await sockets.ask(asking(("directory", "search-users")))
        await sockets.denied(answer, 403, "federation_denied")
        # What keeps the two sides in step is for all.
        assert (await sockets.ask(asking(("heartbeat", "get-versions")))).status_code == 200
        assert (await sockets.ask(asking(("handshake", "notice")))).status_code == 200


@BOTH_DATABASES
async def test_a_revocation_waits_for_an_effect_that_began_before_it_or_prevents_it(
    sockets: Sockets, store: Store, remote: Remote, recorder: Recorder
) -> None:
    """So nothing of a remote is committed after it was revoked."""
    began, go = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        began.set()
        await go.wait()

    recorder.pause = pause
    running = asyncio.create_task(sockets.ask(asking(("handshake", "confirm"))))
    await began.wait()

    async def revoked() -> None:
        async with store.transaction() as tx:
            await revoke(tx, await tx.remotes.lock(A))

    revocation = asyncio.create_task(revoked())
    await asyncio.wait([revocation], timeout=0.3)
    assert not revocation.done()
    go.set()
    assert (await running).status_code == 200
    await revocation
    assert (await sockets.ask(asking(("handshake", "confirm")))).json()["code"] == "remote_revoked"


def test_components_answer_what_the_table_says_and_nothing_else() -> None:
    async def answer(call: Call, tx: Transaction) -> msgspec.Struct:
        raise AssertionError

    components = Components()
    with pytest.raises(TableDiffers, match="has no directory/get-everything"):
        components.register("directory", {"get-everything": Reading(answer)})
    components.register("directory", {"get-instance": Reading(answer)})
    with pytest.raises(TableDiffers, match="two endpoints"):
        components.register("directory", {"get-instance": Reading(answer)})
    with pytest.raises(TableDiffers, match="search-users"):
        components.complete()
    with pytest.raises(TableDiffers, match="does not write"):
        components.register("handshake", {"confirm": Reading(answer)})
