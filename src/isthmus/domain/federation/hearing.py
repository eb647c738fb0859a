"""What a statement of the other side does to a bridge, and how a side finds out that it was not heard.

A statement says how things are, so whatever is lost, doubled or late does no harm: older ones are passed over, the
newest one counts, and `revoked` stands above all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bridge import Bridge, Hold, Side, State, Statement
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.prefixes import lies_in

# Where a side may be when it is heard again, from where it was heard last: statements in between may be lost.
REACHABLE: Mapping[State, frozenset[State]] = {
    State.PROPOSED: frozenset(State),
    State.ACTIVE: frozenset({State.ACTIVE, State.SUSPENDED, State.REVOKED}),
    State.SUSPENDED: frozenset({State.ACTIVE, State.SUSPENDED, State.REVOKED}),
    State.REVOKED: frozenset({State.REVOKED}),
}
ANSWERS = frozenset({State.ACTIVE, State.SUSPENDED, State.REVOKED})
"""What may come first from a side that was asked. Of the side that asks, its question is there from the beginning."""
ACCEPTED = ANSWERS - {State.REVOKED}
WHO: Mapping[Hold, str] = {Hold.OPERATOR: "our operator", Hold.INCIDENT: "an incident here"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the other side says that it has heard of us last, and whether that is what we say at this moment."""

    revision: int
    is_same: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """`bridge` after the statement; `is_news` unless it was known already."""

    bridge: Bridge
    is_news: bool


def hear(bridge: Bridge, said: Statement, signed: str, now: datetime) -> Heard:
    """`bridge` once the other side has been heard. Raises `Denied` for what it cannot say.

    The side that proposed becomes active with the other's word that it is; a revocation ends both sides.
    """
    if said.generation != bridge.generation:
        raise Denied("version_conflict", "bridge.generation", "the bridge has another generation")
    if said.state is not State.REVOKED:
        if bridge.state is State.REVOKED:
            raise not_allowed("bridge.revoked", "the bridge is revoked on this side")
        if is_old(bridge, said):
            return Heard(bridge, is_news=False)
        check_reachable(bridge, said)
    elif bridge.theirs is not None and bridge.theirs.state is State.REVOKED:
        return Heard(bridge, is_news=False)
    return Heard(followed(bridge, said, signed, now), is_news=True)


def is_old(bridge: Bridge, said: Statement) -> bool:
    """Whether the other side has said something later. Raises `Denied` where one number has two words."""
    known = bridge.theirs
    if known is None or said.revision > known.revision:
        return False
    if said.revision == known.revision and said != known:
        raise Denied("version_conflict", "bridge.revision", "another statement of this revision is known")
    return True


def check_reachable(bridge: Bridge, said: Statement) -> None:
    known = bridge.theirs
    allowed = ANSWERS if known is None else REACHABLE[known.state]
    if said.state not in allowed:
        before = "nothing" if known is None else known.state.value
        raise not_allowed("bridge.unreachable", f"{said.state} cannot follow {before} on that side")


def followed(bridge: Bridge, said: Statement, signed: str, now: datetime) -> Bridge:
    accepted = still_offered(bridge.accepted, said)
    after = replace(bridge, theirs=said, signed=signed, accepted=accepted, version=bridge.version + 1)
    if said.state is State.REVOKED and bridge.state is not State.REVOKED:
        return after.anew(now, state=State.REVOKED, holds=frozenset(), reason=said.reason)
    if opens(bridge, said):
        return after.anew(now, state=State.ACTIVE, accepted=said.terms.prefixes)
    return after


def opens(bridge: Bridge, said: Statement) -> bool:
    """Whether this shows that what we proposed was accepted; it may have been suspended since."""
    return bridge.proposed_by is Side.OURS and bridge.state is State.PROPOSED and said.state in ACCEPTED


def still_offered(accepted: Iterable[IPNetwork], said: Statement) -> tuple[IPNetwork, ...]:
    """Of the prefixes that count here those that the other side still offers."""
    return tuple(each for each in accepted if lies_in(each, said.terms.prefixes))


def restated(bridge: Bridge, heard: int) -> Bridge:
    """`bridge` with a revision above the one that the other side has heard under our name: our own memory was set back,
    and what we say now would be passed over."""
    return replace(bridge, revision=heard + 1, version=bridge.version + 1)


def to_say_again(bridge: Bridge, known: Known | None) -> Bridge | None:
    """`bridge` as the other side must hear it again, going by what it says that it has heard; None where it is up to
    date. What it does not know at all it may never have heard of, and needs to no more once it is revoked."""
    statement = bridge.statement
    if statement is None or (known is None and bridge.state is State.REVOKED):
        return None
    if known is None or known.revision < bridge.revision:
        return bridge
    return None if known.is_same else restated(bridge, known.revision)


def obstacles(bridge: Bridge, around: Iterable[str] = ()) -> list[str]:
    """Why nothing may pass, in words: what lies `around` the bridge, then its own two sides. Nothing is in the way of
    a bridge that is effective."""
    return [*around, *_here(bridge), *_there(bridge)]


def _here(bridge: Bridge) -> list[str]:
    match bridge.state:
        case State.REVOKED:
            return ["revoked"]
        case State.PROPOSED if bridge.proposed_by is Side.OURS:
            return ["waits for the acceptance of the other side"]
        case State.PROPOSED:
            return ["waits for our acceptance"]
    return [f"suspended by {WHO[each]}" for each in sorted(bridge.holds)]


def _there(bridge: Bridge) -> list[str]:
    theirs = None if bridge.theirs is None else bridge.theirs.state
    if bridge.state in (State.REVOKED, State.PROPOSED) or theirs is State.ACTIVE:
        return []
    return ["suspended by the other side" if theirs is State.SUSPENDED else "the other side is not active yet"]


def not_allowed(reason: str, detail: str) -> Denied:
    return Denied("transition_not_allowed", reason, detail)


def checked_choice(bridge: Bridge, prefixes: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Of what the other side offers, what our operator accepts. Raises `TransitionNotAllowed`."""
    offered = () if bridge.theirs is None else bridge.theirs.terms.prefixes
    chosen = tuple(dict.fromkeys(prefixes)) or offered
    for each in chosen:
        if not lies_in(each, offered):
            problem = f"{each} is not offered by {bridge.remote}"
            raise TransitionNotAllowed(bridge.name, problem, "isthmus bridge show lists what is")
    return chosen
