"""What the figures of a backend need of the store: how many there are of each kind, without the rows themselves."""

from datetime import datetime
from typing import Protocol

from isthmus.domain.addresses import Family
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.incident import Type
from isthmus.domain.mesh.peer import Kind
from isthmus.server.records import Held


class Totals(Protocol):
    async def peers(self) -> dict[tuple[Kind, bool], int]:
        """Of all networks, by kind and whether they have a key."""

    async def held(self) -> dict[NetworkId, dict[tuple[Family, Held], int]]:
        """Addresses that are not free, as `Holdings.counts` gives them, of each network that has some."""

    async def open_incidents(self) -> dict[Type, int]: ...
    async def open_findings(self) -> dict[str, int]:
        """By kind."""

    async def live_grants(self, now: datetime) -> int:
        """Of ours, those that are neither revoked nor expired."""

    async def held_grants(self, now: datetime) -> int:
        """The same of those that remotes have given to ours."""

    async def outbox(self) -> dict[tuple[str, bool], int]:
        """Messages that wait, by the domain of their remote and whether it has refused them for good; 0 for a remote of
        the list without any."""
