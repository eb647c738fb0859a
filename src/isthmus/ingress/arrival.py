"""The arrival guard: nftables rules that drop what claims to be of an overlay and did not come out of its tunnel.

A listener on an overlay's address alone proves nothing: a host routes packets for any of its addresses whatever
interface they arrive on.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import Listener

TABLE = "isthmus_ingress"
INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,14}")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A listener of an overlay, and the interface that is the overlay's tunnel."""

    listener: Listener
    interface: str


def render(guarded: Iterable[Guarded]) -> str:
    """A script for `nft -f -` that replaces the table as a whole; without overlay listeners the table goes.

    It runs before routing, so no local process sees a packet that it drops. Raises `FactsRefused` on a name that is no
    interface.
    """
    rules = [rule for each in guarded for rule in _rules(each)]
    # `table` before `delete` makes the deletion of what is not there no error; all of it is one transaction.
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}"]
    if rules:
        head = "        type filter hook prerouting priority raw; policy accept;"
        lines += [f"table inet {TABLE} {{", "    chain isthmus_arrival {", head, *rules, "    }", "}"]
    return "\n".join([*lines, ""])


def _rules(guarded: Guarded) -> tuple[str, str]:
    listener, name = guarded.listener, guarded.interface
    if not INTERFACE.fullmatch(name):
        raise FactsRefused(
            f"the tunnel of network {listener.network} is on no interface that could be named in a rule: {name!r}"
        )
    to = f"        {'ip6' if ip_address(listener.address).version == 6 else 'ip'} daddr {listener.address}"
    drop = f'counter drop comment "listener {listener.id}"'
    # The host may use its own address for what else listens there; a call of its own has not come over the overlay.
    return (
        f'{to} iifname != {{ "{name}", "lo" }} {drop}',
        f'{to} iifname "lo" tcp dport {listener.port} {drop}',
    )
