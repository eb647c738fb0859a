"""Statements of bridges: what is sealed is read back, and what is not exactly right is refused."""

import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import (
    MOST_ADDRESSES,
    MOST_ENDPOINTS,
    MOST_GATEWAYS,
    MOST_INSTANCES,
    MOST_PREFIXES,
    MOST_REASON,
    Gateway,
    State,
    Statement,
    StatementRefused,
    Terms,
)
from isthmus.domain.federation.names import InstanceId
from isthmus.protocol.bridges import TYPE, Document, opened, seal, written
from isthmus.protocol.bundle import TYPE as BUNDLE_TYPE
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.sealing import sealed
from tests.builders import a_key
from tests.trusting import A, B, C, a_statement

KEY, STRANGER = MessageKey.generate(), MessageKey.generate()
KEYS = {KEY.id: KEY.public}

addresses = st.one_of(
    st.integers(1, 2**32 - 1).map(IPv4Address),
    st.integers(2**64, 2**128 - 1).map(IPv6Address),
)
networks = st.one_of(
    st.builds(lambda at, size: IPv4Network((at, size), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(
        lambda at, size: IPv6Network((at, size), strict=False), st.integers(2**64, 2**128 - 1), st.integers(0, 128)
    ),
)
hosts = st.sampled_from(["198.51.100.7", "2001:db8::7", "gw.b.example"])
endpoints = st.builds(Endpoint, hosts, st.integers(1, 65_535))
gateways = st.builds(Gateway, st.integers(1, 9).map(a_key), st.lists(endpoints, max_size=4).map(tuple))
ids = st.integers(0, 2**128 - 1).map(lambda number: InstanceId(UUID(int=number)))
terms = st.builds(
    Terms,
    network=st.sampled_from(["", "office", "a-1", "x" * 63]),
    prefixes=st.lists(networks, max_size=16).map(tuple),
    gateways=st.lists(gateways, max_size=8).map(tuple),
    vip=st.none() | addresses,
    port=st.none() | st.integers(1, 65_535),
    instances=st.dictionaries(ids, st.lists(addresses, max_size=4).map(tuple), max_size=8),
)
statements = st.builds(
    Statement,
    bridge=ids,
    generation=st.integers(1, 2**53 - 1),
    revision=st.integers(1, 2**53 - 1),
    state=st.sampled_from(State),
    terms=terms,
    reason=st.text(max_size=500).filter(str.isprintable),
)


def rule_against(text: str) -> str | None:
    try:
        opened(text, B, A, KEYS)
    except StatementRefused as refused:
        return refused.rule
    return None


def signed_anyway(change: Callable[[dict[str, Any]], object]) -> str:
    """A statement of B to A that was changed before it was signed."""
    document = json.loads(msgspec.json.encode(Document(B, A, written(a_statement()))))
    change(document)
    return sealed(json.dumps(document).encode(), TYPE, KEY)


@given(statements)
def test_a_statement_comes_back_as_it_was_sealed(statement: Statement) -> None:
    assert opened(seal(statement, B, A, KEY), B, A, KEYS) == statement


def test_a_statement_counts_for_its_speaker_and_its_hearer_alone() -> None:
    text = seal(a_statement(), B, A, KEY)
    assert rule_against(text) is None
    assert rule_against(seal(a_statement(), B, A, STRANGER)) == "signature"
    assert rule_against(seal(a_statement(), B, C, KEY)) == "domain"
    assert rule_against(seal(a_statement(), A, B, KEY)) == "domain"


def test_what_was_signed_as_something_else_is_no_statement() -> None:
    payload = msgspec.json.encode(Document(B, A, written(a_statement())))
    assert rule_against(sealed(payload, BUNDLE_TYPE, KEY)) == "signature"


def into(*path: Any, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(document: dict[str, Any]) -> None:
        found: Any = document
        for name in path[:-1]:
            found = found[name]
        found[path[-1]] = value

    return change


HOSTILE = "x'; DROP TABLE bridges; -- $(reboot)\nPostUp = reboot {{7*7}}"
TERMS = ("statement", "terms")


@pytest.mark.parametrize(
    "change",
    [
        into("statement", "reason", value=HOSTILE),
        into("statement", "reason", value="x" * 501),
        into("statement", "state", value="effective"),
        into("statement", "revision", value=0),
        into("statement", "revision", value=2**53),
        into("statement", "generation", value=True),
        into("statement", "bridge", value="{00000000-0000-0000-0000-000000000001}"),
        into("statement", "bridge", value="0000000A-0000-0000-0000-000000000001"),
        into("statement", "note", value="more"),
        into("more", value=1),
        into(*TERMS, "network", value=HOSTILE),
        into(*TERMS, "network", value="../office"),
        into(*TERMS, "prefixes", value=["10.0.0.1/8"]),
        into(*TERMS, "prefixes", value=["10.0.0.0/255.0.0.0"]),
        into(*TERMS, "prefixes", value=["FD99::/64"]),
        into(*TERMS, "prefixes", value=["fe80::%eth0/64"]),
        into(*TERMS, "prefixes", value=["10.0.0.0/8"] * 17),
        into(*TERMS, "vip", value="::ffff:10.0.0.1"),
        into(*TERMS, "port", value=65_536),
        into(*TERMS, "port", value="8443"),
        into(*TERMS, "gateways", value=[{"public_key": "A" * 44, "endpoints": []}]),
        into(*TERMS, "gateways", value=[{"public_key": a_key(1), "endpoints": ["gw.b.example:1\nPostUp = x"]}]),
        into(*TERMS, "gateways", value=[{"public_key": a_key(1), "endpoints": ["GW.b.example:1"]}]),
        into(*TERMS, "gateways", value=[{"public_key": a_key(1), "endpoints": [], "preshared": "x"}]),
        into(*TERMS, "instances", value={HOSTILE: []}),
        into(*TERMS, "instances", value={str(UUID(int=1)): ["10.0.0.0/8"]}),
        into(*TERMS, "instances", value={str(UUID(int=number)): [] for number in range(129)}),
    ],
)
def test_what_no_honest_side_says_is_not_read_although_it_is_signed(change: Callable[[dict[str, Any]], object]) -> None:
    assert rule_against(signed_anyway(lambda document: None)) is None
    assert rule_against(signed_anyway(change)) == "unreadable"


def test_text_of_other_scripts_stays_as_it_is() -> None:
    said = a_statement(State.REVOKED, reason="Umzug, 引っ越し: <b>'quoted'</b> {{7*7}} $(reboot)")
    assert opened(seal(said, B, A, KEY), B, A, KEYS) == said


@given(st.text())
def test_no_text_but_a_statement_opens(text: str) -> None:
    assert rule_against(text) == "unreadable"


@given(st.binary(max_size=300))
def test_no_signed_bytes_but_a_statement_open(payload: bytes) -> None:
    assert rule_against(sealed(payload, TYPE, KEY)) == "unreadable"


def test_the_longest_statement_is_one_that_a_remote_reads() -> None:
    far = tuple(IPv6Address(f"fd00:1111:2222:3333:4444:5555:6666:{number:x}") for number in range(0xFFF0, 0xFFF4))
    host = ".".join(["x" * 63] * 3 + ["y" * 61])
    longest = Terms(
        network="x" * 63,
        prefixes=tuple(IPv6Network((far[0], 128)) for _ in range(MOST_PREFIXES)),
        gateways=tuple(Gateway(a_key(1), (Endpoint(host, 65_535),) * MOST_ENDPOINTS) for _ in range(MOST_GATEWAYS)),
        vip=far[0],
        port=65_535,
        instances={InstanceId(UUID(int=number)): far[:MOST_ADDRESSES] for number in range(MOST_INSTANCES)},
    )
    said = a_statement(revision=2**53 - 1, reason="\u00e4" * MOST_REASON, terms=longest)
    assert opened(seal(said, B, A, KEY), B, A, KEYS) == said
