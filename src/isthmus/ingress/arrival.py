"""The arrival guard: nftables rules that drop what claims to be of an overlay and did not come out of its tunnel.

A listener on an overlay's address alone proves nothing: a host routes packets for any of its addresses whatever
interface they arrive on.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address

from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import WAN, IngressFacts

TABLE = "isthmus_ingress"
INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,14}")


def render(facts: IngressFacts, interfaces: Mapping[str, str]) -> str:
    """A script for `nft -f -` that replaces the table as a whole. `interfaces` is the tunnel of each network by its id.

    It runs before routing, so no local process sees a packet that it drops; without overlay listeners the table goes.
    Raises `FactsRefused` where an overlay has no interface, or a name is none.
    """
    rules = [
        f"        {'ip6' if ip_address(each.address).version == 6 else 'ip'} daddr {each.address} "
        f'iifname != "{_interface(each.network, interfaces)}" drop comment "listener {each.id}"'
        for each in facts.listeners
        if each.network != WAN
    ]
    # `table` before `delete` makes the deletion of what is not there no error; all of it is one transaction.
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}"]
    if rules:
        head = "        type filter hook prerouting priority raw; policy accept;"
        lines += [f"table inet {TABLE} {{", "    chain isthmus_arrival {", head, *rules, "    }", "}"]
    return "\n".join([*lines, ""])


def _interface(network: str, interfaces: Mapping[str, str]) -> str:
    name = interfaces.get(network, "")
    if not INTERFACE.fullmatch(name):
        raise FactsRefused(
            f"the tunnel of network {network} is on no interface that could be named in a rule: {name!r}"
        )
    return name
