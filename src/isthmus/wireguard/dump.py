"""Reads `wg show <interface> dump`: one line of the interface, one per peer, columns parted by tabs."""

from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from isthmus.wireguard.values import (
    MAX_COUNTER,
    MAX_FWMARK,
    MAX_KEEPALIVE,
    MAX_PORT,
    read_endpoint,
    read_networks,
    read_number,
)

_INTERFACE_COLUMNS = 4
_PEER_COLUMNS = 8
_NONE = "(none)"


class InvalidDump(ValueError):
    """Text that `wg show dump` does not print. Names the line, never its content, which holds secrets."""


def parse_dump(text: str) -> InterfaceState:
    """Read the dump of one interface (not of `all`); raises `InvalidDump`. The secrets in it are left behind."""
    rows = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    if len(rows[0]) != _INTERFACE_COLUMNS:
        raise InvalidDump(f"line 1: the dump of an interface starts with {_INTERFACE_COLUMNS} columns")
    _, public_key, listen_port, fwmark = rows[0]
    peers: dict[PublicKey, PeerState] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != _PEER_COLUMNS:
            raise InvalidDump(f"line {number}: a peer has {_PEER_COLUMNS} columns")
        try:
            peer = _peer(row)
        except ValueError:
            raise InvalidDump(f"line {number}: a column has a value that `wg` does not print") from None
        peers[peer.public_key] = peer
    try:
        return InterfaceState(
            public_key=None if public_key == _NONE else PublicKey.parse(public_key),
            listen_port=read_number(listen_port, MAX_PORT),
            fwmark=read_number(fwmark, MAX_FWMARK),
            peers=peers,
        )
    except ValueError:
        raise InvalidDump("line 1: a column has a value that `wg` does not print") from None


def _peer(row: list[str]) -> PeerState:
    public_key, preshared_key, endpoint, allowed_ips, handshake, rx, tx, keepalive = row
    return PeerState(
        public_key=PublicKey.parse(public_key),
        endpoint=None if endpoint == _NONE else read_endpoint(endpoint),
        allowed_ips=frozenset(read_networks("" if allowed_ips == _NONE else allowed_ips)),
        latest_handshake=read_number(handshake, MAX_COUNTER) or None,
        rx=read_number(rx, MAX_COUNTER),
        tx=read_number(tx, MAX_COUNTER),
        keepalive=read_number(keepalive, MAX_KEEPALIVE),
        has_preshared_key=preshared_key != _NONE,
    )
