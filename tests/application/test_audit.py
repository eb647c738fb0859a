"""Every mutation leaves one audit row and its event in its own commit, or does not happen."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.accounts import ALL_SCOPES
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.domain.mesh.template import Template
from isthmus.server.application import denials, networks, peers
from isthmus.server.application.accounts import Issued
from isthmus.server.application.caller import Caller
from isthmus.server.ports import Store, StoreUnavailable, Transaction
from isthmus.server.records import AuditEntry, Outcome
from tests.application.backend import ADA, ANYONE, BOTH_DATABASES, Backend, a_public_key

LOCAL = Caller("local", "start", scopes=ALL_SCOPES)
ADDRESS = IPv4Address("10.20.0.200")
SPARE = IPv4Address("10.20.0.201")


class FailingStore:
    """The real store, except that it fails where a test says: in writing audit rows, or at the commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reading = store.reading
        self.fails_audit = False
        self.fails_commit = False

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._store.transaction() as tx:
            if self.fails_audit:
                tx.journal.audit = refuse  # type: ignore[method-assign, assignment]
            yield tx
            if self.fails_commit:
                await refuse()


async def refuse(*_: object) -> None:
    raise StoreUnavailable("the disk is full")


@dataclass
class World:
    """A backend in which every mutation has something to act on."""

    backend: Backend
    store: FailingStore
    network: Network
    empty: Network
    laptop: peers.Created
    phone: peers.Created
    gw: Peer
    desk: Peer
    password: str
    admin: Caller
    token: Issued
    template: Template


@pytest.fixture
async def world(backend: Backend, store: Store, tmp_path: Path) -> World:
    failing = FailingStore(store)
    backend = Backend(failing, tmp_path)  # type: ignore[arg-type]  # what services use of a store
    password = await backend.accounts.first_admin(LOCAL)
    assert password is not None
    user, _ = await backend.accounts.login(ANYONE, "admin", password)
    admin = replace(ADA, user_id=user.id)
    network, empty = await backend.network(), await backend.network("empty", None)
    gw, desk = await backend.enrolled(network, "gw", Kind.JUMP), await backend.enrolled(network, "desk")
    await backend.keys.ask(ADA, desk.id)
    await backend.networks.reserve(ADA, network.id, SPARE, None)
    return World(
        backend,
        failing,
        network,
        empty,
        laptop=await backend.created(network, "laptop"),
        phone=await backend.created(network, "phone", Kind.STATIC),
        gw=gw,
        desk=desk,
        password=password,
        admin=admin,
        token=await backend.accounts.create_token(admin, "ci", frozenset({"read"}), timedelta(days=1)),
        template=await backend.templates.create(ADA, "small", {"mtu": 1400}),
    )


# In an order in which one can follow the other.
MUTATIONS: dict[str, Callable[[World], Awaitable[Any]]] = {
    "network.create": lambda w: w.backend.network("lab", None),
    "network.update": lambda w: w.backend.networks.update(ADA, w.network.id, networks.Update(mtu=1400), None),
    "network.delete": lambda w: w.backend.networks.delete(ADA, w.empty.id, None, force=False),
    "address.reserve": lambda w: w.backend.networks.reserve(ADA, w.network.id, ADDRESS, "printer"),
    "address.unreserve": lambda w: w.backend.networks.unreserve(ADA, w.network.id, SPARE),
    "peer.create": lambda w: w.backend.peer(w.network, "tablet"),
    "peer.update": lambda w: w.backend.peers.update(ADA, w.phone.peer.id, peers.Update(isolated=True), None),
    "peer.regenerate": lambda w: w.backend.peers.regenerate(ADA, w.phone.peer.id),
    "agent.enroll": lambda w: w.backend.enroll(w.laptop),
    "peer.rotate_key": lambda w: w.backend.keys.ask(ADA, w.gw.id, force=True),
    "agent.rekey": lambda w: w.backend.keys.rekey(ANYONE, w.desk.id, a_public_key()),
    "peer.revoke_session": lambda w: w.backend.sessions.revoke(ADA, w.gw.id),
    "peer.token": lambda w: w.backend.peers.new_token(ADA, w.laptop.peer.id),
    "token.create": lambda w: w.backend.accounts.create_token(w.admin, "more", frozenset({"read"}), None),
    "token.delete": lambda w: w.backend.accounts.delete_token(w.admin, w.token.token.id),
    "template.create": lambda w: w.backend.templates.create(ADA, "large", {"mtu": 1300}),
    "template.update": lambda w: w.backend.templates.update(ADA, w.template.id, {"mtu": 1300}, None),
    "template.delete": lambda w: w.backend.templates.delete(ADA, w.template.id, None),
    "peer.delete": lambda w: w.backend.peers.delete(ADA, w.phone.peer.id, None, force=False),
    "account.password": lambda w: w.backend.accounts.change_password(w.admin, w.password, "a new long password"),
}
# These change what agents are sent, so they are events too; who listens is told.
EVENTS = {
    "network.update": "network.changed",
    "peer.create": "peer.created",
    "peer.update": "peer.changed",
    "peer.delete": "peer.deleted",
    "peer.regenerate": "peer.rekeyed",
    "agent.enroll": "peer.enrolled",
    "peer.rotate_key": "peer.rekey_asked",
    "agent.rekey": "peer.rekeyed",
}


def content_of(folder: Path) -> str:
    """Everything that the database holds, as one text."""
    with contextlib.closing(sqlite3.connect(folder / "isthmus.db")) as database:
        return "\n".join(database.iterdump())


@pytest.mark.parametrize("action", MUTATIONS)
async def test_a_mutation_leaves_one_audit_row_and_its_event_or_nothing_when_these_cannot_be_written(
    world: World, action: str, tmp_path: Path
) -> None:
    backend, store, network = world.backend, world.store, world.network
    before, rows, changes = content_of(tmp_path), await backend.audit(), await backend.changes(network.id)
    backend.heard.commits.clear()
    for store.fails_audit, store.fails_commit in ((True, False), (False, True)):
        with pytest.raises(StoreUnavailable):
            await MUTATIONS[action](world)
        assert content_of(tmp_path) == before
        assert backend.heard.commits == []
    store.fails_commit = False

    await MUTATIONS[action](world)
    (row,) = (await backend.audit())[len(rows) :]
    assert (row.action, row.outcome, row.at) == (action, Outcome.DONE, backend.clock.now())
    assert row.actor == (f"agent:{row.subject}" if action.startswith("agent.") else "user:ada")
    assert row.subject
    assert row.request_id
    events = [change.event for change in (await backend.changes(network.id))[len(changes) :]]
    assert events == ([EVENTS[action]] if action in EVENTS else [])


@pytest.mark.case("SEED-072")
@BOTH_DATABASES
async def test_a_peer_and_its_event_commit_together_or_not_at_all(world: World) -> None:
    backend, network = world.backend, world.network
    backend.heard.commits.clear()
    made = await backend.peer(network, "tablet")
    present = await backend.network_now(network.id)
    (commit,) = backend.heard.commits
    assert commit.network == present
    assert [peer.id for peer in commit.changed] == [made.id]
    last = (await backend.changes(network.id))[-1]
    assert (last.event, last.subject, last.revision) == ("peer.created", made.id, present.revision)
    assert made in await backend.peers_of(network.id)

    rows, changes = await backend.peers_of(network.id), await backend.changes(network.id)
    backend.heard.commits.clear()
    world.store.fails_commit = True
    with pytest.raises(StoreUnavailable):
        await backend.peer(network, "watch")
    assert backend.heard.commits == []
    assert await backend.peers_of(network.id) == rows
    assert await backend.changes(network.id) == changes
    assert await backend.network_now(network.id) == present


async def test_no_audit_row_holds_a_secret(world: World, tmp_path: Path) -> None:
    for mutation in MUTATIONS.values():
        await mutation(world)
    assert world.laptop.token is not None
    assert world.phone.config is not None
    private = world.phone.config.text.partition("PrivateKey = ")[2].partition("\n")[0]
    secrets = [world.password, world.token.text, world.laptop.token.text, private, "a new long password"]
    content = content_of(tmp_path)
    assert all(secrets)
    assert not [secret for secret in secrets if secret in content]


async def test_a_refusal_of_a_known_caller_always_has_its_row_and_strangers_are_summed_up(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "STRANGERS_PER_WINDOW", 10)
    extra = 5
    for _ in range(10 + extra):
        await backend.denials.record(ANYONE, "POST /x", "/x", "unauthenticated")
    await backend.denials.record(ADA, "POST /x", "/x", "forbidden")
    backend.clock.turn(timedelta(minutes=1))
    await backend.denials.record(ANYONE, "POST /x", "/x", "unauthenticated")
    async with backend.store.reading() as tx:
        newest: list[AuditEntry] = [row.entry for row in await tx.journal.audit_page(4)]
        number = (await tx.journal.audit_page(1))[0].number
    assert number == 10 + 3
    assert [(row.actor, row.reason) for row in newest[:3]] == [
        ("anyone", "unauthenticated"),
        ("anyone", "sampled"),
        ("user:ada", "forbidden"),
    ]
    assert newest[1].facts["left_out"] == extra
