"""Whether a call that the Federator has admitted may have its effect, by what holds in the transaction of that effect.

The Federator decides by a snapshot, which is a moment old; what was suspended or revoked since then ends here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.remote import Direction, Remote, State, Strategy

DENIALS: Mapping[State, str] = {State.SUSPENDED: "remote_suspended", State.REVOKED: "remote_revoked"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What this backend makes of a caller: the remote's live entry, whom it federates with at all, and whether an
    operator has blocked the instance."""

    remote: Remote | None
    strategy: Strategy
    is_blocked: bool = False


def check_standing(standing: Standing, generation: int, states: frozenset[State], now: datetime) -> None:
    """`generation` is that of the entry by which the caller was admitted, 0 of one without. Raises `Denied`."""
    remote = standing.remote
    if standing.strategy is Strategy.NONE:
        raise Denied("federation_denied", "strategy_none")
    if remote is None:
        if standing.strategy is not Strategy.ALL or State.ACTIVE not in states:
            raise Denied("federation_denied", "not_listed")
        return
    if remote.generation != generation:
        # What the former entry was allowed is not for the new one, and the other way round.
        raise Denied("federation_denied", "generation")
    if remote.removed_at is not None:
        raise Denied("federation_denied", "not_listed")
    if remote.state not in states:
        raise Denied(DENIALS.get(remote.state, "federation_denied"), f"remote_{remote.state}")
    if remote.is_expired(now):
        raise Denied("federation_denied", "remote_expired")
    if standing.is_blocked:
        raise Denied("instance_blocked")


def check_component(remote: Remote, component: str) -> None:
    """Whether `remote` may call `component` at all. Raises `Denied`."""
    if not remote.direction.has(Direction.IN):
        raise Denied("federation_denied", "direction")
    if remote.components is not None and component not in remote.components:
        raise Denied("federation_denied", "component_not_allowed")
