"""Instances of this backend: processes that call others in its name, each with leaves that name it."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.federation.certificate import LONGEST_OWN_LIFE, SHORTEST_OWN_LIFE
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.ids import PeerId

MOST_LEAVES = 16
"""Of one instance, live at the same time: whoever loses them all the time does not make the bundle grow."""
MOST_INSTANCES = 10_000
"""That are live. Remotes register no more of one backend."""

# Without a dot: names that are made of a peer's and its network's have one, and so are never in the way.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Maker(StrEnum):
    """Who asked for it: an operator, or the agent of its peer."""

    OPERATOR = "operator"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Instance:
    """`peer_id` is the peer on whose host it runs, None where nobody has said. A revoked one stays for the record."""

    id: InstanceId
    name: str
    maker: Maker
    created_at: datetime
    peer_id: PeerId | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    reason: str = ""

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None

    def revoked(self, now: datetime, by: str, reason: str) -> "Instance":
        """This one for good out of use. Raises `TransitionNotAllowed` where it is so already."""
        self.check_live()
        return replace(self, revoked_at=now, revoked_by=by, reason=reason)

    def check_live(self) -> None:
        """Raises `TransitionNotAllowed`."""
        if not self.is_live:
            hint = "a new one takes its place: isthmus instance issue"
            raise TransitionNotAllowed(f"instance {self.name}", "is revoked", hint)


def parse_name(text: str) -> str:
    """The name that an operator gives. Raises `InvalidValue`."""
    if not NAME.fullmatch(text):
        hint = "letters a-z, digits and inner hyphens, at most 63"
        raise InvalidValue("/name", "is no name of an instance", hint)
    return text


def agents_name(peer: str, network: str) -> str:
    return f"{peer}.{network}"


def parse_life(life: timedelta) -> timedelta:
    """How long a leaf shall live. Raises `InvalidValue`."""
    if not SHORTEST_OWN_LIFE <= life <= LONGEST_OWN_LIFE:
        raise InvalidValue("/lifetime", "is not between 10 minutes (600) and 7 days (604800)", "seconds")
    return life


def may_begin_anew(revoked_at: datetime, enrolled_at: datetime | None) -> bool:
    """Whether an agent whose instance was revoked gets another one: an operator has let its host in again since."""
    return enrolled_at is not None and enrolled_at > revoked_at
