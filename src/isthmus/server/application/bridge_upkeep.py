"""What keeps bridges true by itself: terms that follow the network, wishes of the handshake, words said again."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from isthmus.domain.errors import NotFound, Refusal
from isthmus.domain.federation.bridge import Bridge, State
from isthmus.domain.federation.hearing import Known, to_say_again
from isthmus.domain.federation.remote import Remote
from isthmus.domain.federation.remote import State as Standing
from isthmus.domain.ids import NetworkId
from isthmus.protocol import heartbeat
from isthmus.protocol.bridges import digest
from isthmus.server.application.bridge_rows import told_of
from isthmus.server.application.bridge_words import Words, is_heard_by, terms_of
from isthmus.server.application.bridges import BridgeService, Proposal
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.ports import Clock, Store, Transaction
from isthmus.server.records import Commit
from isthmus.server.trust_records import Wish

log = structlog.get_logger()

LONGEST_WAIT = 15.0
COMES_WITHIN = timedelta(minutes=5)
"""A wish is put down a moment before the entry that it belongs to."""
SERVER = Caller("server", "")


class BridgeUpkeep:
    def __init__(
        self, store: Store, clock: Clock, changes: FederationChanges, bridges: BridgeService, words: Words
    ) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._bridges = bridges
        self._words = words
        self._wake = asyncio.Event()

    def changed(self, commit: Commit) -> None:
        """What a network is made of has changed, and perhaps what its bridges bring in."""
        self._wake.set()

    def look_at(self, network_id: NetworkId) -> None:
        """Instances have other addresses in a network."""
        self._wake.set()

    def woken(self, generation: int) -> None:
        """A remote may be active now."""
        self._wake.set()

    async def work(self) -> None:
        """Wait until something has changed, a while at most, and look."""
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        await self.look()

    async def look(self) -> None:
        async with self._store.reading() as tx:
            wishes = await tx.bridges.wishes()
            stale = [bridge for bridge in await tx.bridges.all_live() if await _is_stale(tx, bridge)]
        for wish in wishes:
            await self._grant(wish)
        for bridge in stale:
            await self._renew(bridge)

    async def _grant(self, wish: Wish) -> None:
        """Propose the bridge that was named at the handshake, once its remote is active."""
        async with self._store.reading() as tx:
            state = await _state_of(tx, wish)
            is_coming = await tx.invitations.get(wish.id) is not None or self._clock.now() - wish.at < COMES_WITHIN
        match state:
            case None if is_coming:
                return
            case Standing.PENDING | Standing.SUSPENDED:
                return
            case Standing.ACTIVE if wish.proposes:
                await self._propose(wish)
            case Standing.ACTIVE:
                # The other side proposes.
                return
        async with self._store.transaction() as tx:
            await tx.bridges.drop_wish(wish.id)

    async def _propose(self, wish: Wish) -> None:
        async with self._store.reading() as tx:
            domain = (await tx.remotes.by_id(wish.id)).domain
        try:
            await self._bridges.propose(SERVER, Proposal(domain, wish.network_id))
        except Refusal as refusal:
            # The network is gone or bridged by now: an operator was faster than the handshake.
            log.warning("the bridge of a handshake was not proposed", remote=domain, error=str(refusal))

    async def _renew(self, bridge: Bridge) -> None:
        async with self._changes.transaction(concerns=bridge.remote) as tx:
            remote = await tx.remotes.lock(bridge.remote)
            now, present = self._clock.now(), await tx.bridges.get(bridge.id)
            if present.network_id is None:
                return
            network = await tx.networks.lock(present.network_id)
            after = present.with_terms(await terms_of(tx, network, present.offered), now)
            if after is not present:
                await tx.bridges.save(after)
                await self._words.say(tx, remote, after, now)
                await tx.journal.audit([SERVER.did("bridge.terms", bridge.id, now, **told_of(after))])

    async def say_again(self, tx: Transaction, remote: Remote, answer: heartbeat.BeatAnswer, now: datetime) -> None:
        """Tell `remote`, which is locked, again what its answer to a heartbeat shows that it has not heard."""
        for bridge in await tx.bridges.of_remote(remote.domain):
            if is_heard_by(bridge, remote):
                again = to_say_again(bridge, _known(answer.bridges, bridge))
                if again is not None:
                    if again is not bridge:
                        await tx.bridges.save(again)
                    await self._words.say(tx, remote, again, now)


async def _state_of(tx: Transaction, wish: Wish) -> Standing | None:
    try:
        return (await tx.remotes.by_id(wish.id)).state
    except NotFound:
        return None


async def heard_of(tx: Transaction, remote: Remote) -> dict[str, heartbeat.Heard]:
    """What we have heard of `remote` last, of each bridge on which there may be more to hear: the live ones first."""
    found = [
        bridge
        for bridge in await tx.bridges.of_remote(remote.domain)
        if bridge.remote_generation == remote.generation
        and (bridge.theirs is None or bridge.theirs.state is not State.REVOKED)
    ]
    found.sort(key=lambda bridge: (bridge.state is State.REVOKED, bridge.id))
    return {
        str(bridge.id): heartbeat.Heard(0 if bridge.theirs is None else bridge.theirs.revision, digest(bridge.theirs))
        for bridge in found[: heartbeat.MOST_SUBJECTS]
    }


def _known(heard: Mapping[str, heartbeat.Heard], bridge: Bridge) -> Known | None:
    found = heard.get(str(bridge.id))
    return None if found is None else Known(found.revision, found.digest == digest(bridge.statement))


async def _is_stale(tx: Transaction, bridge: Bridge) -> bool:
    """Whether what we say that we bring in is so no more."""
    if bridge.network_id is None or bridge.statement is None:
        return False
    try:
        network = await tx.networks.get(bridge.network_id)
    except NotFound:
        return False
    return bridge.ours != await terms_of(tx, network, bridge.offered)
