"""Which WireGuard serves an interface: the same one each time, with what it remembers."""

import pytest

from isthmus.agent.adapters.backend import Backends
from isthmus.agent.observed import Link


@pytest.mark.parametrize("kind", ["tun", "wireguard"])
def test_who_serves_an_interface_is_the_same_at_every_look(kind: str) -> None:
    """Another one would parse all peers anew, and would not see that the host has moved since the last look."""
    backends, link = Backends("auto", "ist-office"), Link(kind=kind, mtu=1420, is_up=True)
    first = backends.choose(link)
    assert first.kind == {"tun": "userspace", "wireguard": "kernel"}[kind]
    assert backends.choose(link) is first
