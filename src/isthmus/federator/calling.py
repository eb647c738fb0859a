"""A call to a remote as the outward side sees it, and what it needs of whoever carries it there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.discovery import Target
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.view import Bridged, Revoked
from isthmus.federator.resolving import Tlsa


@dataclass(frozen=True, slots=True)
class Call:
    """What a component asks for. `seconds` is all the time that the call may take; `authorization` the grant that it
    shows to the remote's component, if any."""

    domain: BackendDomain
    component: str
    rpc: str
    body: bytes
    request_id: str
    seconds: float
    idempotency_key: str = ""
    authorization: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        return f"/federation/{self.component}/{self.rpc}"

    @property
    def subject(self) -> str:
        return f"{self.domain}/{self.component}/{self.rpc}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A remote's answer. Names of headers are in lower case, each of them once."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """What a connection rests on: whom the other end must prove to be, and as whom we show ourselves.

    `digest` changes with each of them, and with the standing of the remote. `authorities` are DER certificates; `chain`
    and `key` are PEM.
    """

    domain: BackendDomain
    digest: bytes
    authorities: tuple[bytes, ...]
    revoked: Revoked
    chain: bytes
    key: bytes = field(repr=False)


Place = tuple[Target, Bridged | None]
"""What is reached one way: a target outside, or over a bridge."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a remote: the address was vetted and is dialled as it is. `associations` None asks for no DANE;
    `bridge` is the one that it leads over, if any."""

    target: Target
    address: IPAddress
    associations: tuple[Tlsa, ...] | None = None
    bridge: Bridged | None = None

    @property
    def place(self) -> Place:
        return self.target, self.bridge

    @property
    def source(self) -> IPAddress | None:
        """The address of ours to dial from; None leaves it to the system."""
        return None if self.bridge is None else self.bridge.source_for(self.address)


@dataclass(eq=False)
class CallFailed(Exception):
    """The call came to no answer that counts. `code` and `reason` as in `Denied`.

    `sent`: bytes of the request may have left. `heard`: bytes of an answer had come. `reused`: the connection had
    served another call before, so that it may have ended for no fault of this one.
    """

    code: str
    reason: str
    detail: str
    sent: bool = False
    heard: bool = False
    reused: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Channel(Protocol):
    """A connection whose other end has proven itself, for one exchange."""

    async def exchange(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST and read the answer, for as long as the caller waits. Raises `CallFailed`."""


class Carrier(Protocol):
    """Keeps connections to remotes, each for as long as the identity that it rests on is the same."""

    async def reach(self, identity: Identity, way: Way, *, fresh: bool) -> Channel:
        """A connection that rests, or a new one; always a new one if `fresh`. Raises `CallFailed`."""

    def renew(self, domain: BackendDomain, digest: bytes | None, *, cut: bool) -> None:
        """This digest is that of the remote's identity now; None if it has none any more. Connections of another one
        serve no more calls; `cut` ends those that are under way as well."""

    def keep(self, domain: BackendDomain, bridges: Collection[Bridged]) -> None:
        """Connections with this remote over a bridge that is none of these end, and calls on them."""

    @property
    def domains(self) -> list[BackendDomain]:
        """Remotes with connections."""


class Signer(Protocol):
    def sign(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """The headers that make a POST a signed mutation (RFC 9421). Raises `Unsigned` when there is no key."""


class Unsigned(Exception):
    """There is no message key to sign with."""
