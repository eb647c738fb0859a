"""A service: one address of a network, with protocol and ports, that grants can open to remotes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from isthmus.domain.addresses import IPAddress
from isthmus.domain.ids import NetworkId


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is unique in the backend. `ports` are ranges, both ends included. `address` is one of a peer of the
    network, or behind one that offers its range."""

    id: UUID
    name: str
    network_id: NetworkId
    protocol: Literal["tcp", "udp"]
    address: IPAddress
    ports: tuple[tuple[int, int], ...]
    created_at: datetime
    note: str = ""
    version: int = 1
