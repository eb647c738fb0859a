"""How many TCP connections leave a host, counted by its kernel: whoever opens one, and wherever it goes."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.host import Host
from lab.organisation import PORT

TABLE = "isthmus_counting"
RULES = f"""
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{{{
    chain out {{{{
        type filter hook output priority 0
        {{where}} tcp flags & (syn | ack) == syn counter
    }}}}
}}}}
"""


@dataclass
class Counted:
    """Filled in when the block has ended."""

    connections: int = -1


@contextlib.contextmanager
def connections_from(host: Host, to: Host | None = None, *, ports: Sequence[int] = ()) -> Iterator[Counted]:
    """Count the connections that any process of the host tries to open, to one other host or to any; or those to these
    ports, even of the host itself.

    Backends that know each other say so from time to time, so whoever counts those to a remote may see one more.
    """
    where = f"tcp dport {{ {', '.join(map(str, ports))} }}" if ports else 'oifname != "lo"'
    if to is not None:
        where += f" ip daddr {to.ipv4}"
    host.run(["nft", "-f", "-"], input=RULES.format(where=where))
    counted = Counted()
    try:
        yield counted
        found = re.search(r"counter packets (\d+)", host.run(["nft", "list", "table", "inet", TABLE]).stdout)
        assert found is not None
        counted.connections = int(found[1])
    finally:
        host.run(["nft", "delete", "table", "inet", TABLE])


def peers_of(host: Host) -> dict[str, set[str]]:
    """The TCP connections of a host to ingresses now: remote address and port → pids (of the lab) that hold them."""
    found: dict[str, set[str]] = {}
    for line in host.run(["ss", "-Htnp", "state", "established", "dport", f"= :{PORT}"]).stdout.splitlines():
        words = line.split(None, 4)
        users = re.findall(r'\("([^"]+)",pid=(\d+)', words[4] if len(words) > 4 else "")
        found.setdefault(words[3], set()).update(pid for _, pid in users)
    return found
