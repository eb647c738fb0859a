"""What `main` puts together once and both sides of the Federator are made of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.names import BackendDomain
from isthmus.federator.health import Readiness
from isthmus.federator.ports import Clock, Nonces, Pairs, Rows, Snapshots


@dataclass(frozen=True, slots=True)
class Parts:
    """`on_contact` are called with the domain of every remote that is proven to have called; `readiness` takes further
    checks by name. `translate` puts headers into the form that our own ingress gives them; `proxies` stand before the
    ingress on the WAN and are named one by one."""

    clock: Clock
    snapshots: Snapshots
    pairs: Pairs
    rows: Rows
    nonces: Nonces
    readiness: Readiness
    on_contact: list[Callable[[BackendDomain], None]] = field(default_factory=list)
    proxies: frozenset[IPAddress] = frozenset()
    translate: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]] = list


class Side(Protocol):
    """The outward side, as the socket of our components sees it."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request whose sender may use the socket; it never raises for what the request says."""
