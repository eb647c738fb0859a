"""Values of bridges for tests: `a_bridge(state=State.ACTIVE)` says only what the test is about."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import Bridge, Gateway, Side, State, Statement, Terms
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Remote
from isthmus.domain.federation.remote import State as Standing
from tests.builders import NOON, OFFICE_ID, OFFICE_V6, a_key

A, B, C = (BackendDomain(f"{name}.example") for name in "abc")
PLANT_V6 = IPv6Network("fd99:1:2:1::/64")
OUR_TERMS = Terms("office", (OFFICE_V6,), (Gateway(a_key(1), (Endpoint("198.51.100.1", 51_820),)),))
THEIR_TERMS = Terms(
    "plant",
    (PLANT_V6, IPv4Network("10.99.0.0/16")),
    (
        Gateway(a_key(91), (Endpoint("203.0.113.1", 51_820), Endpoint("2001:db8::1", 51_821))),
        Gateway(a_key(92), (Endpoint("gw.b.example", 51_820),)),
    ),
    IPv6Address("fd99:1:2:1::1"),
    8443,
    {InstanceId(UUID(int=7)): (IPv6Address("fd99:1:2:1::7"), IPv4Address("10.99.0.7"))},
)


def a_statement(state: State = State.PROPOSED, **fields: Any) -> Statement:
    """B's word on bridge 1, its first."""
    return replace(Statement(UUID(int=1), 1, 1, state, THEIR_TERMS), **fields)


def a_bridge(number: int = 1, **fields: Any) -> Bridge:
    """Bridge 1 of "office" with B, which we have proposed and nobody has answered."""
    bare = Bridge(UUID(int=number), B, 1, 1, OFFICE_ID, Side.OURS, State.PROPOSED, NOON, NOON, ours=OUR_TERMS)
    return replace(bare, **fields)


def an_active_remote(domain: BackendDomain = B, **fields: Any) -> Remote:
    """The first entry of B, confirmed by both operators."""
    remote = Remote(UUID(int=ord(domain[0])), domain, 1, Standing.ACTIVE, NOON, (InfraDomain(f"infra.{domain}"),))
    return replace(remote, **fields)
