"""A change of a WireGuard interface: one object that the userspace protocol and the `wg` tool both carry out."""

from dataclasses import dataclass

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.wireguard.keys import PrivateKey, PublicKey
from isthmus.wireguard.values import MAX_FWMARK, MAX_KEEPALIVE, MAX_PORT, check_range


@dataclass(frozen=True, slots=True)
class PeerChange:
    """Adds, alters or removes one peer; None leaves a field as it is.

    `allowed_ips` replaces the whole list, `keepalive` is in seconds and 0 means off.
    """

    public_key: PublicKey
    remove: bool = False
    endpoint: Endpoint | None = None
    allowed_ips: tuple[IPNetwork, ...] | None = None
    keepalive: int | None = None

    def __post_init__(self) -> None:
        check_range("keepalive", self.keepalive, 0, MAX_KEEPALIVE)
        if self.remove and (self.endpoint, self.allowed_ips, self.keepalive) != (None, None, None):
            raise ValueError("a peer that is removed has nothing else to change")


@dataclass(frozen=True, slots=True)
class InterfaceChange:
    """Changes the interface and its peers; None leaves a field as it is, a `fwmark` of 0 means off.

    With `replace`, this is the whole configuration: peers that it does not list go, so do all sessions, an absent
    mark is off, and private key and listen port have to be given.
    """

    private_key: PrivateKey | None = None
    listen_port: int | None = None
    fwmark: int | None = None
    peers: tuple[PeerChange, ...] = ()
    replace: bool = False

    def __post_init__(self) -> None:
        check_range("listen_port", self.listen_port, 0, MAX_PORT)
        check_range("fwmark", self.fwmark, 0, MAX_FWMARK)
        if self.replace and (self.private_key is None or self.listen_port is None):
            raise ValueError("a whole configuration states its private key and listen port")
        if self.replace and any(peer.remove for peer in self.peers):
            raise ValueError("a whole configuration removes a peer by leaving it out")

    @property
    def is_empty(self) -> bool:
        return self == InterfaceChange()
