"""A world of backends that exchange statements over a channel that loses, doubles and reorders, to be driven at random.

Every side is the pure rules of the product over a memory of its own. Beside them the world keeps its own book of what
each side has said and of what has arrived where, and judges by that.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from random import Random
from uuid import UUID

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bridge import Action, Bridge, Hold, Side, State, Statement, Terms
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.hearing import Known, checked_choice, hear, to_say_again
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.ids import NetworkId
from tests.builders import NOON

NETWORKS = [NetworkId(UUID(int=number)) for number in (1, 2)]
MOST_IN_FLIGHT = 60


@dataclass
class Backend:
    """One side: what it has committed. `due` are the bridges of which something is to be told."""

    domain: BackendDomain
    bridges: dict[UUID, Bridge] = field(default_factory=dict)
    due: set[UUID] = field(default_factory=set)

    def keep(self, bridge: Bridge, *, tell: bool) -> None:
        self.bridges[bridge.id] = bridge
        if tell and bridge.statement is not None:
            self.due.add(bridge.id)

    def live(self, remote: BackendDomain, network: NetworkId) -> bool:
        pairs = [(each.remote, each.network_id) for each in self.bridges.values() if each.state is not State.REVOKED]
        return (remote, network) in pairs


@dataclass(frozen=True)
class Word:
    """A statement under way, or where `answer` is one the answer to it: the revision that is known there now."""

    origin: BackendDomain
    target: BackendDomain
    statement: Statement
    answer: int | None = None


class World:
    def __init__(self, random: Random, size: int) -> None:
        self.random = random
        self.backends = {name: Backend(name) for name in (BackendDomain(f"{n}.example") for n in "abcd"[:size])}
        self.channel: list[Word] = []
        self.past: deque[Word] = deque(maxlen=MOST_IN_FLIGHT)
        self.parted: set[frozenset[BackendDomain]] = set()
        self.now = NOON
        self.made = 0
        # The world's own book: what was said under each number, and the last of it that has arrived where.
        self.said: dict[tuple[BackendDomain, UUID], dict[int, Statement]] = {}
        self.heard: dict[tuple[BackendDomain, UUID], Statement] = {}
        self.ended: set[tuple[BackendDomain, UUID]] = set()

    def step(self) -> None:
        self.now += timedelta(seconds=1)
        steps = (self.act, self.send, self.send, self.deliver, self.deliver, self.deliver, self.disturb, self.beat)
        self.random.choice(steps)()
        self.judge()

    # ── what operators do ────────────────────────────────────────────────────────────────────────────────────────────

    def act(self) -> None:
        backend = self.random.choice(list(self.backends.values()))
        bridges = list(backend.bridges.values())
        if not bridges or self.random.random() < 0.1:
            self.propose(backend)
            return
        # Mostly one of the latest: old ones are revoked.
        bridge = self.random.choice(bridges[-6:])
        try:
            after = self.moved(backend, bridge)
        except TransitionNotAllowed:
            return
        backend.keep(after, tell=after.revision != bridge.revision)

    def moved(self, backend: Backend, bridge: Bridge) -> Bridge:
        kind = self.random.choice(("accept", "accept", "hold", "hold", "terms", "prefixes", "revoke"))
        if kind == "accept":
            return self.accepted(backend, bridge)
        if kind == "revoke":
            return bridge.after(Action.REVOKE, self.now) if self.random.random() < 0.3 else bridge
        if kind == "prefixes":
            return replace(bridge, accepted=checked_choice(bridge, ()), version=bridge.version + 1)
        if kind == "terms":
            return bridge.with_terms(self.terms(), self.now)
        action, by = self.random.choice((Action.SUSPEND, Action.RESUME)), self.random.choice(list(Hold))
        return bridge.after(action, self.now, by)

    def accepted(self, backend: Backend, bridge: Bridge) -> Bridge:
        free = [each for each in NETWORKS if not backend.live(bridge.remote, each)]
        after = bridge.after(Action.ACCEPT, self.now)
        if not free:
            return bridge
        return replace(after, network_id=free[0], ours=self.terms(), accepted=checked_choice(bridge, ()))

    def propose(self, backend: Backend) -> None:
        remote = self.random.choice([each for each in self.backends if each != backend.domain])
        network = self.random.choice(NETWORKS)
        if backend.live(remote, network):
            return
        self.made += 1
        bridge_id, now = UUID(int=self.made), self.now
        made = Bridge(bridge_id, remote, 1, 1, network, Side.OURS, State.PROPOSED, now, now, ours=self.terms())
        backend.keep(made, tell=True)

    def terms(self) -> Terms:
        numbers = self.random.sample(range(3), self.random.randint(1, 3))
        return Terms("net", tuple(ip_network(f"10.{number}.0.0/16") for number in numbers))

    # ── the channel ──────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self) -> None:
        backend = self.random.choice(list(self.backends.values()))
        if backend.due and len(self.channel) < MOST_IN_FLIGHT:
            self.channel.append(self.word(backend, self.random.choice(sorted(backend.due))))

    def word(self, backend: Backend, bridge_id: UUID) -> Word:
        """What a backend says now; it stays due until it was answered."""
        bridge = backend.bridges[bridge_id]
        assert bridge.statement is not None
        book = self.said.setdefault((backend.domain, bridge_id), {})
        assert book.setdefault(bridge.revision, bridge.statement) == bridge.statement, "two words under one number"
        word = Word(backend.domain, bridge.remote, bridge.statement)
        self.past.append(word)
        return word

    def deliver(self) -> None:
        if self.channel:
            # Any of them: nothing keeps an order.
            self.arrive(self.channel.pop(self.random.randrange(len(self.channel))))

    def arrive(self, word: Word) -> None:
        if frozenset((word.origin, word.target)) in self.parted:
            return
        target = self.backends[word.target]
        if word.answer is not None:
            self.answered(target, word)
            return
        if self.random.random() < 0.05:
            # It crashes before the commit: nothing of this has happened, and nobody is answered.
            return
        self.take(target, word)

    def take(self, target: Backend, word: Word) -> None:
        said, known = word.statement, target.bridges.get(word.statement.bridge)
        revision = said.revision
        if known is None:
            if said.state is State.PROPOSED:
                ground = (said.bridge, word.origin, 1, said.generation, None, Side.THEIRS, State.PROPOSED)
                target.keep(Bridge(*ground, self.now, self.now, theirs=said), tell=False)
                self.note(target, said)
        else:
            try:
                heard = hear(known, said, "", self.now)
            except Denied:
                # Refused for ever: it is sent no more, and only a heartbeat brings it up again.
                revision = -1
            else:
                target.keep(heard.bridge, tell=heard.bridge.revision != known.revision)
                self.note(target, said)
        self.channel.append(Word(word.target, word.origin, said, revision))

    def answered(self, backend: Backend, word: Word) -> None:
        bridge = backend.bridges[word.statement.bridge]
        if bridge.revision == word.statement.revision:
            backend.due.discard(bridge.id)

    def disturb(self) -> None:
        """Double, lose, part or join."""
        pair = frozenset(self.random.sample(list(self.backends), 2))
        match self.random.choice(("double", "double", "double", "lose", "part", "join")):
            case "double" if self.past:
                # Late ones as well, which everything has overtaken.
                self.channel.append(self.random.choice(self.past))
            case "lose" if self.channel:
                self.channel.pop(self.random.randrange(len(self.channel)))
            case "part":
                self.parted = {pair}
            case "join":
                self.parted = set()

    def beat(self) -> None:
        one, other = self.random.sample(list(self.backends.values()), 2)
        if frozenset((one.domain, other.domain)) not in self.parted:
            self.exchange_heartbeats(one, other)

    def exchange_heartbeats(self, asking: Backend, answering: Backend) -> None:
        known = {each.id: each.theirs for each in answering.bridges.values() if is_listed(each, asking.domain)}
        for bridge in [each for each in asking.bridges.values() if each.remote == answering.domain]:
            heard = None
            if bridge.id in known:
                said = known[bridge.id]
                heard = Known(0, is_same=False) if said is None else Known(said.revision, said == bridge.statement)
            again = to_say_again(bridge, heard)
            if again is not None:
                asking.keep(again, tell=True)

    def set_back(self, backend: Backend, bridges: dict[UUID, Bridge]) -> None:
        """A backup is put in place: what was said and heard since then is forgotten, and its numbers come again."""
        backend.bridges, backend.due = dict(bridges), set()
        self.said = {key: book for key, book in self.said.items() if key[0] != backend.domain}
        self.heard = {key: said for key, said in self.heard.items() if key[0] != backend.domain}
        self.ended = {key for key in self.ended if key[0] != backend.domain}
        for bridge in bridges.values():
            if bridge.theirs is not None:
                self.note(backend, bridge.theirs)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    def note(self, hearer: Backend, said: Statement) -> None:
        key = (hearer.domain, said.bridge)
        if key not in self.heard or said.revision > self.heard[key].revision:
            self.heard[key] = said
        if said.state is State.REVOKED:
            self.ended.add(key)

    def judge(self) -> None:
        for backend in self.backends.values():
            for bridge in backend.bridges.values():
                key = (backend.domain, bridge.id)
                if bridge.state is State.REVOKED:
                    self.ended.add(key)
                if key in self.ended:
                    assert bridge.state is State.REVOKED, "a revoked bridge lives"
                if bridge.is_effective:
                    last = self.heard[key]
                    assert last.state is State.ACTIVE, "effective on a word that was withdrawn"
                    assert accepted_is_offered(bridge, last.terms.prefixes), "a prefix is let in that is not offered"

    def heal(self, exchanges: int) -> None:
        """So many exchanges over a channel without faults: each side beats, then says what is due, once."""
        self.channel, self.parted = [], set()
        for _ in range(exchanges):
            self.now += timedelta(seconds=60)
            for one in self.backends.values():
                for other in self.backends.values():
                    if one is not other:
                        self.exchange_heartbeats(one, other)
            words = [self.word(each, due) for each in self.backends.values() for due in sorted(each.due)]
            for word in words:
                self.take(self.backends[word.target], word)
            for answer in self.channel:
                self.answered(self.backends[answer.target], answer)
            self.channel = []
            self.judge()

    def disagreements(self, forgetful: BackendDomain | None = None) -> list[str]:
        """On what two sides differ. Whoever is `forgetful` may lack what was begun since its backup."""
        found = []
        for backend in self.backends.values():
            for bridge in backend.bridges.values():
                other = self.backends[bridge.remote].bridges.get(bridge.id)
                if other is None:
                    # Revoked before the other side has heard of it: there is nothing to agree on.
                    if bridge.state is not State.REVOKED and bridge.remote != forgetful:
                        found.append(f"{bridge.remote} does not know {bridge.id}")
                elif bridge.state is other.state is State.REVOKED:
                    # How the last words of the dead were numbered is nothing to agree on either.
                    continue
                elif bridge.statement is not None and other.theirs != bridge.statement:
                    found.append(f"{bridge.remote} has not heard the last of {bridge.id}")
                elif (bridge.state is State.REVOKED) is not (other.state is State.REVOKED):
                    found.append(f"{bridge.id} is revoked on one side")
                elif bridge.is_effective is not other.is_effective:
                    found.append(f"{bridge.id} is effective on one side")
        return found


def is_listed(bridge: Bridge, asking: BackendDomain) -> bool:
    """Whether a heartbeat's answer tells what was heard of it: until it is known to be revoked there."""
    return bridge.remote == asking and (bridge.theirs is None or bridge.theirs.state is not State.REVOKED)


def accepted_is_offered(bridge: Bridge, offered: Sequence[IPNetwork]) -> bool:
    return all(each in offered for each in bridge.accepted)
