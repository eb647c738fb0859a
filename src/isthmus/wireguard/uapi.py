"""The cross-platform userspace protocol (https://www.wireguard.com/xplatform/): requests as bytes, answers typed."""

import ipaddress
import os
from collections.abc import Iterable
from hashlib import blake2b

from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.keys import PrivateKey, PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from isthmus.wireguard.values import (
    MAX_COUNTER,
    MAX_FWMARK,
    MAX_KEEPALIVE,
    MAX_PORT,
    atom,
    read_endpoint,
    read_networks,
    read_number,
)

GET = b"get=1\n\n"
# Requests and answers both end with an empty line; a reader collects bytes until it sees this.
END = b"\n\n"

_NO_KEY = "0" * 64
_PEER = b"\npublic_key="  # begins a peer's part of an answer
_MAX_ERRNO = 4095


class UapiError(OSError):
    """WireGuard answered a request with `errno`."""


class InvalidAnswer(ValueError):
    """An answer that breaks the protocol. Never repeats its content, which holds secrets."""


def as_uapi(change: InterfaceChange) -> bytes:
    """The request that carries out `change`, private key included: write it to WireGuard's socket, nowhere else.

    An endpoint with a host name raises `ValueError`: the protocol knows addresses only, resolve it first.
    """
    fwmark = change.fwmark or 0 if change.replace else change.fwmark
    lines = ["set=1"]
    if change.private_key is not None:
        lines.append(f"private_key={change.private_key.reveal_hex()}")
    if change.listen_port is not None:
        lines.append(f"listen_port={change.listen_port:d}")
    if fwmark is not None:
        lines.append(f"fwmark={fwmark:d}")
    if change.replace:
        lines.append("replace_peers=true")
    for peer in change.peers:
        lines += _peer_lines(peer)
    return "\n".join(lines).encode("ascii") + END


def _peer_lines(peer: PeerChange) -> list[str]:
    lines = [f"public_key={peer.public_key.hex()}"]
    if peer.remove:
        # Without update_only a peer that is already gone would be made first.
        return [*lines, "update_only=true", "remove=true"]
    if peer.endpoint is not None:
        lines.append(f"endpoint={_numeric(peer.endpoint)}")
    if peer.keepalive is not None:
        lines.append(f"persistent_keepalive_interval={peer.keepalive:d}")
    if peer.allowed_ips is not None:
        lines.append("replace_allowed_ips=true")
        lines += [f"allowed_ip={atom(network)}" for network in peer.allowed_ips]
    return lines


def _numeric(endpoint: Endpoint) -> str:
    try:
        ipaddress.ip_address(endpoint.host)
    except ValueError:
        raise ValueError("an endpoint with a host name has to be resolved before WireGuard is told") from None
    return atom(endpoint)


def check_set(answer: bytes) -> None:
    """Raise `UapiError` unless the answer to a set request tells success."""
    if _before_errno(answer):
        raise InvalidAnswer("a set request is answered by errno alone")


class Reader:
    """Reads what one interface answers to `GET`, again and again: a peer that is as it was is not parsed anew, and of a
    large interface nearly all are. What it compares are digests, for the text holds secrets."""

    def __init__(self) -> None:
        self._peers: dict[bytes, PeerState] = {}

    def read(self, answer: bytes) -> InterfaceState:
        """Raises `UapiError` or `InvalidAnswer`. The secrets in the answer are left behind."""
        interface, *sections = (b"\n" + _before_errno(answer)).split(_PEER)
        peers: dict[bytes, PeerState] = {}
        try:
            for section in sections:
                digest = blake2b(section, digest_size=16).digest()
                peers[digest] = self._peers.get(digest) or _peer(_settings(_PEER[1:] + section))
            found = _interface(_settings(interface[1:]), peers.values())
        except ValueError:
            raise InvalidAnswer("WireGuard's answer has a value that the protocol does not allow") from None
        self._peers = peers
        return found


def parse_get(answer: bytes) -> InterfaceState:
    """Read a single answer to `GET`, as a `Reader` does."""
    return Reader().read(answer)


def _before_errno(answer: bytes) -> bytes:
    """The lines before the closing errno, which has to be 0."""
    if not answer.endswith(END):
        raise InvalidAnswer("WireGuard's answer ends in the middle")
    lines, _, last = answer.rstrip(b"\n").rpartition(b"\n")
    key, _, code = last.partition(b"=")
    if key != b"errno":
        raise InvalidAnswer("WireGuard's answer does not end with an errno")
    _check_errno(code.decode("ascii", "replace"))
    return lines


def _settings(lines: bytes) -> dict[str, list[str]]:
    """The values of each key, in their order."""
    settings: dict[str, list[str]] = {}
    for line in lines.decode("ascii").split("\n") if lines else ():
        key, equals, value = line.partition("=")
        if not equals:
            raise ValueError("is not key=value")
        settings.setdefault(key, []).append(value)
    return settings


def _check_errno(text: str) -> None:
    try:
        # wireguard-go answers with the negative number, other implementations with the positive one.
        code = read_number(text.removeprefix("-"), _MAX_ERRNO)
    except ValueError:
        raise InvalidAnswer("WireGuard's answer has an errno that is no number") from None
    if code:
        raise UapiError(code, f"WireGuard refused the request: {os.strerror(code)}")


def _interface(section: dict[str, list[str]], peers: Iterable[PeerState]) -> InterfaceState:
    private_key = section.get("private_key", [_NO_KEY])[-1]
    return InterfaceState(
        public_key=None if private_key == _NO_KEY else PrivateKey.from_hex(private_key).public(),
        listen_port=_number(section, "listen_port", MAX_PORT),
        fwmark=_number(section, "fwmark", MAX_FWMARK),
        peers={peer.public_key: peer for peer in peers},
    )


def _peer(section: dict[str, list[str]]) -> PeerState:
    endpoint = section.get("endpoint")
    return PeerState(
        public_key=PublicKey.from_hex(section["public_key"][-1]),
        endpoint=None if endpoint is None else read_endpoint(endpoint[-1]),
        allowed_ips=frozenset(read_networks(",".join(section.get("allowed_ip", [])))),
        latest_handshake=_number(section, "last_handshake_time_sec", MAX_COUNTER) or None,
        rx=_number(section, "rx_bytes", MAX_COUNTER),
        tx=_number(section, "tx_bytes", MAX_COUNTER),
        keepalive=_number(section, "persistent_keepalive_interval", MAX_KEEPALIVE),
        has_preshared_key=section.get("preshared_key", [_NO_KEY])[-1] != _NO_KEY,
    )


def _number(section: dict[str, list[str]], key: str, highest: int) -> int:
    return read_number(section.get(key, ["0"])[-1], highest)
