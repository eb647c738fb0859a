"""What the use cases of bridges and grants need of the store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.grant import Grant, GrantToken, HeldGrant
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import Crossing, Outline
from isthmus.server.records import Page
from isthmus.server.trust_records import Wish


class Bridges(Protocol):
    """Whoever changes a bridge has locked its remote, then its network where it has one."""

    async def get(self, bridge_id: UUID) -> Bridge:
        """Raises `NotFound`."""

    async def lock(self, bridge_id: UUID) -> Bridge:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def live(self, domain: BackendDomain, network_id: NetworkId) -> Bridge | None:
        """The one bridge of that pair that is not revoked."""

    async def of_remote(self, domain: BackendDomain) -> list[Bridge]:
        """Revoked ones as well, the oldest first."""

    async def of_network(self, network_id: NetworkId) -> list[Bridge]:
        """Those that are not revoked, in order of id."""

    async def all_live(self) -> list[Bridge]:
        """Those that are not revoked, in order of id."""

    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[Bridge]: ...
    async def add(self, bridge: Bridge) -> None:
        """Raises `BridgeExists` where the pair has a live one."""

    async def save(self, bridge: Bridge) -> None:
        """Raises `BridgeExists` where it would become a second live one of its pair."""

    async def put_wish(self, wish: Wish) -> None: ...
    async def wish(self, wish_id: UUID) -> Wish | None: ...
    async def wishes(self) -> list[Wish]: ...
    async def drop_wish(self, wish_id: UUID) -> None: ...


class Grants(Protocol):
    """Whoever changes a grant has locked its remote."""

    async def get(self, grant_id: UUID) -> Grant:
        """Raises `NotFound`."""

    async def lock(self, grant_id: UUID) -> Grant:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def with_token(self, public_id: str) -> tuple[Grant, GrantToken] | None: ...
    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[Grant]: ...
    async def live(self, now: datetime, domain: BackendDomain | None = None) -> list[Grant]:
        """All, or all of one remote, that are neither revoked nor expired, in order of id."""

    async def of_remote(self, domain: BackendDomain) -> list[Grant]: ...
    async def add(self, grant: Grant) -> None: ...
    async def save(self, grant: Grant) -> None: ...
    async def add_token(self, token: GrantToken) -> None: ...
    async def tokens_of(self, grant_id: UUID) -> list[GrantToken]:
        """Oldest first."""

    async def save_token(self, token: GrantToken) -> None: ...
    async def drop_tokens(self, grant_id: UUID) -> None: ...
    async def used(self, times: Sequence[tuple[UUID, datetime]]) -> None:
        """Note when grants were used last."""


class HeldGrants(Protocol):
    """Grants that remotes have given to ours."""

    async def get(self, domain: BackendDomain, grant_id: UUID) -> HeldGrant | None: ...
    async def put(self, grant: HeldGrant) -> None: ...
    async def of_remote(self, domain: BackendDomain) -> list[HeldGrant]: ...
    async def live(self, now: datetime, domain: BackendDomain | None = None) -> list[HeldGrant]: ...
    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[HeldGrant]: ...


class Services(Protocol):
    async def get(self, service_id: UUID) -> Service:
        """Raises `NotFound`."""

    async def lock(self, service_id: UUID) -> Service:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def named(self, name: str) -> Service | None: ...
    async def page(self, page: Page, network_id: NetworkId | None = None) -> list[Service]: ...
    async def of_network(self, network_id: NetworkId) -> list[Service]: ...
    async def add(self, service: Service) -> None:
        """Raises `ServiceNameTaken`."""

    async def save(self, service: Service) -> None:
        """Raises `ServiceNameTaken`."""

    async def delete(self, service_id: UUID) -> None:
        """Raises `NotFound`."""


class CrossingRows(Protocol):
    """What the networks' agents were told of bridges last. Whoever changes one has locked its network."""

    async def of_network(self, network_id: NetworkId) -> list[Crossing]:
        """In order of id."""

    async def outlines(self, network_id: NetworkId) -> list[Outline]:
        """The same without what passes, which is most of it."""

    async def get(self, bridge_id: UUID) -> Crossing | None: ...
    async def put(self, network_id: NetworkId, crossing: Crossing) -> None: ...
    async def delete(self, bridge_id: UUID) -> None: ...
