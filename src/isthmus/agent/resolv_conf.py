"""Our lines in resolv.conf(5): they come first, between two marks, and all others stay byte for byte. Pure."""

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Sequence

from isthmus.domain.addresses import IPAddress

_ANY_BLOCK = re.compile(r"# isthmus \S+ begins\b.*?\n# isthmus \S+ ends\n", re.DOTALL)


def with_servers(text: str, interface: str, servers: Sequence[IPAddress]) -> str:
    """`text`, which has no lines of ours, with `servers` before its own, and a second for each try to reach one."""
    begin, end = _marks(interface)
    lines = [f"{begin}: put there by 'isthmus agent', taken out by 'isthmus agent leave'"]
    lines += [f"nameserver {address}" for address in servers]
    return "\n".join([*lines, "options timeout:1", end, text])


def without(text: str, interface: str) -> str | None:
    """`text` without our lines; None if one of the marks is missing, so that nobody knows which are ours."""
    begin, end = _marks(interface)
    before, found, rest = text.partition(begin)
    if not found:
        return text if f"{end}\n" not in text else None
    _, found, after = rest.partition(f"\n{end}\n")
    return before + after if found else None


def listed(text: str, interface: str) -> tuple[IPAddress, ...]:
    """The servers in our lines, none if they are not whole."""
    rest = without(text, interface)
    if rest is None or rest == text:
        return ()
    begin, end = _marks(interface)
    return tuple(_servers(text.partition(begin)[2].partition(f"\n{end}\n")[0]))


def foreign_servers(text: str) -> tuple[IPAddress, ...]:
    """The servers in all lines but those of agents, this one's or another's."""
    return tuple(_servers(_ANY_BLOCK.sub("", text)))


def _servers(text: str) -> Iterator[IPAddress]:
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            with contextlib.suppress(ValueError):
                yield ipaddress.ip_address(words[1])


def _marks(interface: str) -> tuple[str, str]:
    return f"# isthmus {interface} begins", f"# isthmus {interface} ends"
