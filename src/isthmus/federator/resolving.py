"""What discovery needs of DNS: three questions, and the difference between "there is none" and "nobody told"."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Generic, Protocol, TypeVar

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.discovery import Record

T = TypeVar("T")
LOOKUP_SECONDS = 3.0
PORT = 53


@dataclass(frozen=True, slots=True)
class Server:
    """A resolver. `vouches`: its word that an answer was validated counts, as nobody sits between it and us."""

    address: IPAddress
    port: int = PORT
    vouches: bool = False


def parse_server(text: str, *, trusted: bool = False) -> Server:
    """`192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`. Raises ValueError."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    address = ip_address(host)
    return Server(address, int(port) if port else PORT, trusted or address.is_loopback)


class LookupFailed(Exception):
    """No resolver gave an answer that counts: the same question may be answered later. The text says what came."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A final answer. No `items` mean that the name or records of this type do not exist. `ttl` is in seconds;
    `authenticated` says that a validating resolver vouches for it (RFC 4035); `alias` that the name was one (CNAME)."""

    items: tuple[T, ...]
    ttl: float = 0.0
    authenticated: bool = False
    alias: bool = False


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698)."""

    usage: int
    selector: int
    matching: int
    data: bytes


class Resolver(Protocol):
    """Every question is for an absolute name and takes `LOOKUP_SECONDS` at most. All raise `LookupFailed`."""

    async def services(self, name: str) -> Answer[Record]:
        """The SRV records of `name`."""

    async def addresses(self, host: str) -> Answer[IPAddress]:
        """The A and AAAA records of `host`; it is enough that one of the two questions is answered."""

    async def associations(self, name: str) -> Answer[Tlsa]:
        """The TLSA records of `name`."""
