"""What the API takes and shows of bridges."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from isthmus.domain.federation.bridge import Gateway, Hold, Move, Side, State, Terms
from isthmus.domain.federation.remote import State as Standing
from isthmus.server.adapters.api.federation_views import Domain
from isthmus.server.adapters.api.views import Body, View
from isthmus.server.application.bridges import Shown

Cidr = Annotated[str, Field(max_length=64)]
Prefixes = Annotated[list[Cidr], Field(max_length=16, examples=[["fd12:3456:789a:1::/64"]])]
WhyNot = Annotated[str, Field(max_length=120, examples=["maintenance until noon"])]


class ProposalBody(Body):
    """`prefixes` are those that we offer, in the network; none for its IPv6 prefix."""

    remote: Domain
    network_id: Annotated[UUID, Field(strict=False, examples=["0193f2c4-7d5e-7a10-8c00-5b1f0e6d2a31"])]
    prefixes: Prefixes = Field(default_factory=list)
    reason: WhyNot = ""


class AcceptanceBody(Body):
    """`network_id` may be left out where the network was named at the handshake. `accepted` are prefixes of the other
    side; none for all that it offers."""

    network_id: Annotated[UUID | None, Field(strict=False)] = None
    prefixes: Prefixes = Field(default_factory=list)
    accepted: Prefixes = Field(default_factory=list)
    reason: WhyNot = ""


class ReasonBody(Body):
    """The other side and the audit log are told why."""

    reason: WhyNot = ""


class HoldBody(Body):
    """The other side and the audit log are told which incident it is."""

    reason: Annotated[str, Field(min_length=1, max_length=120, examples=["scans from fd99:1:2:1::7"])]


class PrefixesBody(Body):
    """Exactly these of the prefixes that the other side offers are let in; none for all of them."""

    prefixes: Prefixes = Field(default_factory=list)


class GatewayView(View):
    public_key: str
    endpoints: list[str]

    @classmethod
    def of(cls, gateway: Gateway) -> "GatewayView":
        return cls(public_key=gateway.public_key, endpoints=[*map(str, gateway.endpoints)])


class TermsView(View):
    """What one side brings in; `vip` and `port` are where its ingress listens inside the network."""

    network: str
    prefixes: list[str]
    gateways: list[GatewayView]
    vip: str | None
    port: int | None
    instances: dict[str, list[str]]

    @classmethod
    def of(cls, terms: Terms) -> "TermsView":
        return cls(
            network=terms.network,
            prefixes=[*map(str, terms.prefixes)],
            gateways=[GatewayView.of(each) for each in terms.gateways],
            vip=None if terms.vip is None else str(terms.vip),
            port=terms.port,
            instances={str(each): [*map(str, found)] for each, found in terms.instances.items()},
        )


class NetworkName(View):
    """`name` is null once the network is gone."""

    id: UUID
    name: str | None


class BridgeView(View):
    """A bridge as this side sees it. Something may pass where `obstacles` is empty: then it is `effective`."""

    id: UUID
    remote: str
    remote_state: Standing
    generation: int
    network: NetworkName | None
    proposed_by: Side
    state: State
    state_there: Annotated[State | None, Field(description="what the other side said last; null before it has")]
    effective: bool
    obstacles: list[str]
    holds: list[Hold]
    moves: Annotated[list[Move], Field(description="what may be done with it now on this side")]
    ours: TermsView | None
    theirs: TermsView | None
    accepted: Annotated[list[str], Field(description="the prefixes of the other side that are let in")]
    reason: str
    reason_there: str
    created_at: datetime
    changed_at: datetime
    version: int

    @classmethod
    def of(cls, found: Shown) -> "BridgeView":
        bridge = found.bridge
        named = None if bridge.network_id is None else NetworkName(id=bridge.network_id, name=found.network)
        return cls(
            id=bridge.id,
            remote=bridge.remote,
            remote_state=found.remote,
            generation=bridge.generation,
            network=named,
            proposed_by=bridge.proposed_by,
            state=bridge.state,
            state_there=None if bridge.theirs is None else bridge.theirs.state,
            effective=not found.obstacles,
            obstacles=list(found.obstacles),
            holds=sorted(bridge.holds),
            moves=bridge.moves,
            ours=None if bridge.ours is None else TermsView.of(bridge.ours),
            theirs=None if bridge.theirs is None else TermsView.of(bridge.theirs.terms),
            accepted=[*map(str, bridge.accepted)],
            reason=bridge.reason,
            reason_there="" if bridge.theirs is None else bridge.theirs.reason,
            created_at=bridge.created_at,
            changed_at=bridge.changed_at,
            version=bridge.version,
        )
