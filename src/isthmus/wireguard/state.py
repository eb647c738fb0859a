"""What a WireGuard interface is at one moment, whichever tool was asked. It holds no secret."""

from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.wireguard.keys import PublicKey


@dataclass(frozen=True, slots=True)
class PeerState:
    """One peer: `latest_handshake` in Unix seconds or None for never, `rx` and `tx` in bytes, `keepalive` in seconds.

    A `keepalive` of 0 is off. Allowed IPs are a set, because WireGuard lists them in an order of its own.
    """

    public_key: PublicKey
    endpoint: Endpoint | None = None
    allowed_ips: frozenset[IPNetwork] = frozenset()
    latest_handshake: int | None = None
    rx: int = 0
    tx: int = 0
    keepalive: int = 0
    has_preshared_key: bool = False


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """One interface. `public_key` is None without a private key; a `listen_port` or `fwmark` of 0 means none."""

    public_key: PublicKey | None
    listen_port: int
    fwmark: int
    peers: Mapping[PublicKey, PeerState]
