"""Bridges for the agent's tests: as a server would write them, and any of them."""

from ipaddress import ip_network
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from isthmus.protocol.agent import Bridged, Crossing, Flow
from tests.agent.builders import a_key

LOCAL = ("10.20.0.0/16", "fd00:20::/64")
REMOTE = ("10.30.0.0/24", "fd00:30::/64")
OTHER = ("10.40.0.0/24", "fd00:40::/64")


def an_id(number: int) -> str:
    return str(UUID(int=number))


def a_flow(**changes: Any) -> Flow:
    """From one host of the remote to a service of ours."""
    given: dict[str, Any] = {
        "id": an_id(0xF1),
        "sources": ("10.30.0.5/32",),
        "destination": "10.20.0.3",
        "protocol": "udp",
        "ports": ("5000",),
    }
    return Flow(**(given | changes))


def a_crossing(*flows: Flow, **changes: Any) -> Crossing:
    given: dict[str, Any] = {
        "id": an_id(0xB1),
        "name": "b.example.com",
        "public_key": a_key(30),
        "prefixes": REMOTE,
        "local": LOCAL,
        "endpoint": "198.51.100.30:51820",
        "keepalive": 25,
        "flows": flows,
    }
    return Crossing(**(given | changes))


def bridged(*crossings: Crossing, lease: int = 60, prefixes: tuple[str, ...] = ()) -> Bridged:
    return Bridged(lease, prefixes, crossings)


_NUMBERS = st.integers(1, 250)
_PORTS = st.one_of(
    st.integers(1, 65_535).map(str),
    st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)).map(lambda pair: f"{min(pair)}-{max(pair)}"),
)


@st.composite
def _prefix(draw: st.DrawFn, within: tuple[str, ...]) -> str:
    """Some part of one of `within`, or a whole one."""
    whole = ip_network(draw(st.sampled_from(within)))
    length = draw(st.sampled_from([whole.prefixlen, whole.prefixlen + 2, whole.max_prefixlen]))
    first = int(whole.network_address) + draw(_NUMBERS)
    return str(type(whole)((first, length), strict=False))


@st.composite
def _flows(draw: st.DrawFn, here: tuple[str, ...], there: tuple[str, ...]) -> Flow:
    """A flow that may be open to nobody, nowhere, or in another family than its sources are of."""
    target = ip_network(draw(_prefix(here))).network_address
    return Flow(
        id=draw(st.sampled_from(["ingress", "remote-ingress", *map(an_id, range(4))])),
        sources=tuple(draw(st.lists(_prefix((*there, *OTHER, "0.0.0.0/0", "::/0")), max_size=3))),
        destination=str(target),
        protocol=draw(st.sampled_from(["tcp", "udp"])),
        ports=tuple(draw(st.lists(_PORTS, max_size=4))),
    )


@st.composite
def any_bridged(draw: st.DrawFn) -> Bridged:
    """Up to two bridges on a gateway, with any flows and any barred ones."""
    crossings = []
    for number, prefixes in enumerate(draw(st.sampled_from([(REMOTE,), (REMOTE, OTHER), (REMOTE[:1], OTHER[1:])]))):
        either = st.one_of(_flows(LOCAL, prefixes), _flows(prefixes, LOCAL))
        crossings.append(
            a_crossing(
                *draw(st.lists(either, max_size=4)),
                id=an_id(0xB0 + number),
                public_key=a_key(30 + number),
                prefixes=prefixes,
                barred=tuple(draw(st.lists(_prefix((*prefixes, *LOCAL)), max_size=3))),
            )
        )
    return bridged(*crossings)
