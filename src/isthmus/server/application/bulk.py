"""Many changes of one network's peers at once: all of them or none, and every one that is refused is named."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from isthmus.domain.errors import InvalidValue, NotFound, Refusal
from isthmus.domain.ids import NetworkId, PublicKey
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.addressing import give_back_expired
from isthmus.server.application.caller import Caller
from isthmus.server.application.incidents import close_all
from isthmus.server.application.networks import check_version, named_fields
from isthmus.server.application.patch import Unset
from isthmus.server.application.peer_steps import Draft, Issued, Made, PeerSteps, Update, key_taken, name_taken
from isthmus.server.application.static_config import Around, StaticConfig, around, rendered
from isthmus.server.ports import Clock, Listeners, Store, Transaction
from isthmus.server.records import AuditEntry, Commit

MOST_OPERATIONS = 1_000
MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Create:
    draft: Draft

    @property
    def name(self) -> str:
        return self.draft.name


@dataclass(frozen=True, slots=True)
class Change:
    """Of the peer called `name`; `version` None: whatever its present one is."""

    name: str
    update: Update
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    name: str
    version: int | None = None
    force: bool = False


Operation = Create | Change | Delete


class Result(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Row:
    """What one operation did. `token` and `config` belong to a new peer and are shown this once."""

    result: Result
    peer: Peer
    token: Issued | None = None
    config: StaticConfig | None = None


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one operation cannot be; `pointer` leads into the request, such as `/operations/3/endpoint`."""

    pointer: str
    code: str
    detail: str
    hint: str | None = None


@dataclass(eq=False)
class BulkRefused(Refusal):
    """Some operations cannot be, so none was done. `left_out`: there may be more errors than are listed."""

    code: ClassVar[str] = "bulk_refused"
    mend: ClassVar[str | None] = "mend what is listed and send all operations again"
    errors: tuple[RowError, ...]
    left_out: bool = False

    def __str__(self) -> str:
        some = "at least " if self.left_out else ""
        operations = "operation" if len(self.errors) == 1 else "operations"
        return f"{some}{len(self.errors)} {operations} cannot be done; nothing was changed"


@dataclass(eq=False)
class BulkInvalid(BulkRefused):
    """The same where every one of them is wrong in itself: to whoever calls it is a request like any other."""

    code: ClassVar[str] = InvalidValue.code


def check_none(errors: Sequence[RowError]) -> None:
    """Refuse the bulk if there are `errors`."""
    if errors:
        invalid = all(error.code == InvalidValue.code for error in errors)
        kind = BulkInvalid if invalid else BulkRefused
        raise kind(tuple(errors[:MOST_ERRORS]), left_out=len(errors) > MOST_ERRORS)


class BulkService:
    def __init__(self, store: Store, clock: Clock, listeners: Listeners, steps: PeerSteps) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners
        self._steps = steps

    async def run(
        self, caller: Caller, network_id: NetworkId, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> list[Row]:
        """Do all operations in their order, or none. A dry run does them too, and takes them back.

        The loop goes on between operations; others who write wait until all are done.
        """
        check_names_differ(operations)
        try:
            async with self._store.transaction() as tx:
                network = await tx.networks.lock(network_id)
                work = Work(caller, self._steps, tx, network, self._clock.now())
                await work.do(operations)
                rows = await work.finished()
                if dry_run:
                    raise TakenBack
        except TakenBack:
            return [replace(row, token=None, config=None) for row in rows]
        for commit in work.commits:
            self._listeners.changed(commit)
        return rows


class TakenBack(Exception):  # nothing failed: the transaction of a dry run ends
    """Ends the transaction of a dry run."""


def check_names_differ(operations: Sequence[Operation]) -> None:
    """Refuse lists that name a peer twice: which of the two was meant cannot be told."""
    first: dict[str, int] = {}
    errors = []
    for index, operation in enumerate(operations):
        earlier = first.setdefault(operation.name, index)
        if earlier != index:
            detail = f"names the same peer as operation {earlier}"
            errors.append(RowError(f"/operations/{index}/name", InvalidValue.code, detail, "name each peer once"))
    check_none(errors)


@dataclass(slots=True)
class Work:
    """The inside of one bulk. `peers` are those that operations name, as they are at this point of it; `keys` all
    keys in question that are taken: a constraint of the store would end the transaction, and with it the search for
    further errors."""

    caller: Caller
    steps: PeerSteps
    tx: Transaction
    network: Network
    now: datetime
    peers: dict[str, Peer] = field(default_factory=dict)
    keys: set[PublicKey] = field(default_factory=set)
    rows: list[Row] = field(default_factory=list)
    made: dict[int, Made] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)

    async def do(self, operations: Sequence[Operation]) -> None:
        await self._look_around(operations)
        await give_back_expired(self.tx, self.network.id, self.now)
        errors: list[RowError] = []
        for index, operation in enumerate(operations):
            try:
                self.rows.append(await self._one(index, operation))
            except Refusal as refusal:
                errors.append(_error(index, operation, refusal))
                if len(errors) > MOST_ERRORS:
                    break
            # With SQLite nothing above waits for anything: let others have the loop.
            await asyncio.sleep(0)
        check_none(errors)

    async def _look_around(self, operations: Sequence[Operation]) -> None:
        names, keys = set(), set()
        for operation in operations:
            names.add(operation.name)
            match operation:
                case Create(draft) if draft.public_key is not None:
                    keys.add(PublicKey(draft.public_key))
                case Change(_, update):
                    names |= _given(update.name)
                    keys |= {PublicKey(key) for key in _given(update.public_key)}
        found = await self.tx.peers.named(self.network.id, _possible(names))
        self.peers = {peer.name: peer for peer in found}
        self.keys = set(await self.tx.peers.with_keys([PublicKey(key) for key in _possible(keys)]))

    async def _one(self, index: int, operation: Operation) -> Row:
        match operation:
            case Create(draft):
                return await self._create(index, draft)
            case Change(name, update, version):
                return await self._update(self._present(name, version), update)
            case Delete(name, version, force):
                return await self._delete(self._present(name, version), force=force)

    async def _create(self, index: int, draft: Draft) -> Row:
        if draft.name in self.peers:
            raise name_taken()
        if draft.public_key in self.keys:
            raise key_taken()
        made = self.made[index] = await self.steps.create(self.tx, self.network, draft, self.now)
        peer = made.peer
        self._go_on(made.commit)
        self._is_now(peer)
        self._did("peer.create", peer, name=peer.name, kind=peer.kind.value)
        return Row(Result.CREATED, peer, made.token)

    async def _update(self, before: Peer, update: Update) -> Row:
        if any(name != before.name and name in self.peers for name in _given(update.name)):
            raise name_taken()
        if any(key != before.public_key and key in self.keys for key in _given(update.public_key)):
            raise key_taken()
        changed = await self.steps.update(self.tx, self.network, before, update, self.now)
        self._did("peer.update", before, fields=named_fields(update))
        if changed.commit is None:
            return Row(Result.UNCHANGED, before)
        self._go_on(changed.commit)
        self._is_gone(before)
        self._is_now(changed.peer)
        return Row(Result.UPDATED, changed.peer)

    async def _delete(self, peer: Peer, *, force: bool) -> Row:
        closed = await close_all(self.tx, self.caller, peer, self.now)
        commit = await self.steps.delete(self.tx, self.network, peer, self.now, force=force)
        self._go_on(replace(commit, incidents=closed))
        self._is_gone(peer)
        self._did("peer.delete", peer, name=peer.name)
        return Row(Result.DELETED, peer)

    def _present(self, name: str, version: int | None) -> Peer:
        peer = self.peers.get(name)
        if peer is None:
            raise NotFound("peer", name[:63])
        check_version(peer.version, version)
        return peer

    def _is_now(self, peer: Peer) -> None:
        self.peers[peer.name] = peer
        if peer.public_key is not None:
            self.keys.add(peer.public_key)

    def _is_gone(self, peer: Peer) -> None:
        self.peers.pop(peer.name, None)
        if peer.public_key is not None:
            self.keys.discard(peer.public_key)

    def _go_on(self, commit: Commit) -> None:
        self.network = commit.at
        self.commits.append(commit)

    def _did(self, action: str, peer: Peer, **facts: object) -> None:
        self.audit.append(self.caller.did(action, peer.id, self.now, bulk=True, **facts))

    async def finished(self) -> list[Row]:
        """All rows, once the audit log has them. Configs are those of the end, when every peer is in its place."""
        await self.tx.journal.audit(self.audit)
        shared: Around | None = None
        for index, made in self.made.items():
            if made.token is None:
                shared = shared or await around(self.tx, self.network.id)
                config = rendered(self.network, shared, made.peer, made.private)
                self.rows[index] = replace(self.rows[index], config=config)
                await asyncio.sleep(0)
        return self.rows


def _given(value: str | Unset) -> set[str]:
    return set() if isinstance(value, Unset) else {value}


def _possible(texts: Iterable[str]) -> list[str]:
    """Without what no name or key can be: the database need not be asked for it, and might not take it."""
    return sorted(text for text in texts if text.isascii() and text.isprintable())


def _error(index: int, operation: Operation, refusal: Refusal) -> RowError:
    where = f"/operations/{index}"
    if isinstance(refusal, InvalidValue):
        # The name of a change says which peer is meant; what it is to be called is another field.
        field_name = "/new_name" if (isinstance(operation, Change) and refusal.field == "/name") else refusal.field
        return RowError(where + field_name, refusal.code, refusal.problem, refusal.hint)
    return RowError(where, refusal.code, str(refusal), getattr(refusal, "hint", None) or refusal.mend)
