"""Valid values of the domain for tests: `a_peer(7, isolated=True)` says only what the test is about."""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from uuid import UUID

from isthmus.domain.addresses import Endpoint, IPAddress
from isthmus.domain.ids import Digest, NetworkId, PeerId, PublicKey, SessionId
from isthmus.domain.mesh.enrollment import EnrollmentToken, Session
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Kind, Peer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ULA = IPv6Network("fd12:3456:789a::/48")
OFFICE_V4 = IPv4Network("10.20.0.0/24")
OFFICE_V6 = IPv6Network("fd12:3456:789a:1::/64")
OFFICE_ID = NetworkId(UUID(int=1))


def a_key(number: int) -> PublicKey:
    """The public key of peer `number`: well-formed, and nobody has its private half."""
    return PublicKey(base64.b64encode(hashlib.sha256(f"peer {number}".encode()).digest()).decode())


def a_digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).digest())


def a_network(**fields: Any) -> Network:
    """The network "office", 10.20.0.0/24 and a /64 of the test backend's ULA, without direct paths unless asked for."""
    office = Network(OFFICE_ID, "office", OFFICE_V4, OFFICE_V6, "office.internal", NOON)
    return replace(office, **{"direct_paths": DirectPaths.OFF} | fields)


def addresses_in(network: Network, number: int) -> tuple[IPAddress, ...]:
    """The host address `number` of each CIDR of `network`, IPv4 first."""
    return tuple(cidr.network_address + number for cidr in network.cidrs)


def a_peer(number: int = 2, network: Network | None = None, **fields: Any) -> Peer:
    """An enrolled dynamic peer, `peer-2` for number 2; its id, addresses and key follow from the number."""
    network = network or a_network()
    peer = Peer(
        PeerId(UUID(int=number)),
        network.id,
        f"peer-{number}",
        Kind.DYNAMIC,
        addresses_in(network, number),
        NOON,
        public_key=a_key(number),
    )
    return replace(peer, **fields)


def a_jump(number: int = 1, network: Network | None = None, **fields: Any) -> Peer:
    """An enrolled jump peer, reached at 198.51.100.<number>:51820."""
    endpoint = Endpoint(f"198.51.100.{number}", 51_820)
    return a_peer(number, network, **{"name": f"jump-{number}", "kind": Kind.JUMP, "endpoint": endpoint} | fields)


def a_static(number: int = 3, network: Network | None = None, **fields: Any) -> Peer:
    """A static peer with a key."""
    return a_peer(number, network, **{"name": f"static-{number}", "kind": Kind.STATIC} | fields)


def a_token(**fields: Any) -> EnrollmentToken:
    """An unused enrollment token of peer 2, made at noon and good for a day."""
    token = EnrollmentToken(PeerId(UUID(int=2)), a_digest("token"), "ist_enr_", NOON, NOON + timedelta(hours=24))
    return replace(token, **fields)


def a_session(**fields: Any) -> Session:
    """The session of peer 2, begun at noon."""
    session = Session(SessionId(UUID(int=2)), PeerId(UUID(int=2)), a_digest("session"), NOON)
    return replace(session, **fields)
