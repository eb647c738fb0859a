"""When a peer's key is to be made anew: because an operator asked, or because it is old enough."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer

SPREAD = 0.1
"""Peers that enrolled together are due over this last share of the age, each at a point of its own."""


def check_may_rotate(peer: Peer, static: Iterable[Peer], *, force: bool) -> None:
    """Refuse where no agent can make a key, and where configs that were handed out by hand would go dead unseen.

    `static` are the static peers of its network.
    """
    if not peer.kind.has_agent:
        raise TransitionNotAllowed(
            peer.name, "is a static peer and has no agent that could make a key", "isthmus peer regenerate NAME"
        )
    if peer.public_key is None:
        raise TransitionNotAllowed(peer.name, "has not enrolled and has no key yet", "isthmus peer token NAME")
    if peer.is_jump and not force and (count := len(list(static))):
        raise TransitionNotAllowed(
            peer.name,
            f"is a jump peer whose key stands in the configs of {count} static peers",
            "repeat with force, then hand out the configs that the answer lists",
        )


def is_asked_for(peer: Peer) -> bool:
    return peer.rekey_asked_at is not None and peer.is_listed


def is_too_old(network: Network, peer: Peer, now: datetime) -> bool:
    """Whether the network's rule asks for a new key; about static peers behind a jump peer the caller knows."""
    if not network.key_max_age or peer.kind is Kind.STATIC or not peer.is_listed:
        return False
    made_at = peer.key_changed_at or peer.created_at
    share = 1 - SPREAD * (peer.id.int % 1009) / 1009
    return now - made_at >= timedelta(seconds=network.key_max_age * share)
