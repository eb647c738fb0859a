"""The same changes as runs of the `wg` tool, with every secret on standard input and none among the arguments."""

from dataclasses import dataclass, field

from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.conf import Conf, InterfaceSection, PeerSection, render_syncconf
from isthmus.wireguard.values import atom, atoms

# Keeps one run far below the kernel's limit for all arguments together (2 MiB).
PEERS_PER_RUN = 500
_STDIN = "/dev/stdin"


@dataclass(frozen=True, slots=True)
class WgRun:
    """One run of `wg`: what follows the program's name, and what it reads from standard input."""

    arguments: tuple[str, ...]
    stdin: str = field(default="", repr=False)


def as_wg_runs(interface: str, change: InterfaceChange) -> list[WgRun]:
    """The runs that carry out `change` on `interface`, in this order; none for an empty change.

    A replacement is one `setconf`. Other changes are `wg set`, in one run unless they name many peers.
    """
    if change.replace:
        return [WgRun(("setconf", interface, _STDIN), render_syncconf(_as_conf(change)))]
    arguments = _interface_arguments(change)
    stdin = "" if change.private_key is None else change.private_key.reveal() + "\n"
    runs: list[WgRun] = []
    for start in range(0, len(change.peers), PEERS_PER_RUN):
        for peer in change.peers[start : start + PEERS_PER_RUN]:
            arguments += _peer_arguments(peer)
        runs.append(WgRun(("set", interface, *arguments), stdin))
        arguments, stdin = [], ""
    return [*runs, WgRun(("set", interface, *arguments), stdin)] if arguments else runs


def _interface_arguments(change: InterfaceChange) -> list[str]:
    arguments: list[str] = []
    if change.private_key is not None:
        arguments += ["private-key", _STDIN]
    if change.listen_port is not None:
        arguments += ["listen-port", atom(change.listen_port)]
    if change.fwmark is not None:
        arguments += ["fwmark", atom(change.fwmark)]
    return arguments


def _peer_arguments(peer: PeerChange) -> list[str]:
    arguments = ["peer", atom(peer.public_key)]
    if peer.remove:
        arguments.append("remove")
    if peer.endpoint is not None:
        arguments += ["endpoint", atom(peer.endpoint)]
    if peer.keepalive is not None:
        arguments += ["persistent-keepalive", atom(peer.keepalive)]
    if peer.allowed_ips is not None:
        # An empty argument empties the list.
        arguments += ["allowed-ips", atoms(peer.allowed_ips, ",")]
    return arguments


def _as_conf(change: InterfaceChange) -> Conf:
    peers = tuple(
        PeerSection(
            peer.public_key, endpoint=peer.endpoint, allowed_ips=peer.allowed_ips or (), keepalive=peer.keepalive
        )
        for peer in change.peers
    )
    return Conf(InterfaceSection(change.private_key, listen_port=change.listen_port, fwmark=change.fwmark), peers)
