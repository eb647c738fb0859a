"""What the use cases around the instances of this backend need of the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.instance import Instance
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.server.certificate_records import OwnLeaf
from isthmus.server.records import Page


@dataclass(frozen=True, slots=True)
class Host:
    """The peer on whose host an instance runs."""

    peer_id: PeerId
    peer: str
    network_id: NetworkId
    network: str


class OwnInstances(Protocol):
    """The instances of this backend, and leaves of theirs that count; those that were revoked are with `own_trust`."""

    async def get(self, instance_id: InstanceId) -> Instance:
        """Raises `NotFound`."""

    async def lock(self, instance_id: InstanceId) -> Instance:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def live_named(self, name: str) -> Instance | None: ...
    async def of_agent(self, peer_id: PeerId) -> Instance | None:
        """The one that the agent of a peer asked for last, revoked or not."""

    async def page(self, page: Page, *, revoked: bool = False) -> list[Instance]:
        """Oldest first; with `revoked` also those."""

    async def count(self) -> int:
        """How many are live."""

    async def add(self, instance: Instance) -> None:
        """Raises `InstanceNameTaken` where a live one has its name."""

    async def save(self, instance: Instance) -> None: ...
    async def add_leaf(self, instance_id: InstanceId, leaf: OwnLeaf) -> None: ...
    async def leaves(self, instance_ids: Sequence[InstanceId]) -> dict[InstanceId, list[OwnLeaf]]:
        """The leaves of each that has one, the newest last."""

    async def drop_leaves(self, instance_id: InstanceId, before: datetime | None = None) -> None:
        """Forget its leaves, or those that ended before that moment."""

    async def hosts(self, instance_ids: Sequence[InstanceId]) -> dict[InstanceId, Host]:
        """Of those whose peer is there."""

    async def stranded(self) -> list[Instance]:
        """Those that are live while their peer is gone."""

    async def addresses(self, network_id: NetworkId) -> dict[InstanceId, tuple[IPAddress, ...]]:
        """The tunnel addresses of each live instance whose peer is in the network and not blocked by an incident."""
