"""The component `bridges` on the wire, and its statements: how one side of a bridge says that it stands."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from isthmus.domain.addresses import Endpoint, parse_address, parse_label, parse_network
from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation import bridge as rules
from isthmus.domain.federation.bridge import StatementRefused
from isthmus.domain.federation.names import UUID_TEXT, BackendDomain, InstanceId
from isthmus.domain.ids import PublicKey
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.sealing import LONGEST, SealBroken, proven, sealed
from isthmus.wireguard.keys import InvalidKey
from isthmus.wireguard.keys import PublicKey as Point

TYPE = "isthmus-bridge-statement+json"
LARGEST = 2**53 - 1

Id = Annotated[str, Meta(pattern=rf"\A{UUID_TEXT}\Z")]
Number = Annotated[int, Meta(ge=1, le=LARGEST)]
Domain = Annotated[str, Meta(max_length=253)]
Short = Annotated[str, Meta(max_length=64)]
Signed = Annotated[str, Meta(max_length=LONGEST)]
"""A statement as a compact JWS; `opened` reads it."""


class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    public_key: Short
    endpoints: Annotated[list[Annotated[str, Meta(max_length=280)]], Meta(max_length=rules.MOST_ENDPOINTS)]


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """`instances` are those of the speaker that have addresses in its network, by id."""

    network: Short
    prefixes: Annotated[list[Short], Meta(max_length=rules.MOST_PREFIXES)]
    gateways: Annotated[list[Gateway], Meta(max_length=rules.MOST_GATEWAYS)]
    vip: Short | None
    port: Annotated[int, Meta(ge=1, le=65_535)] | None
    instances: Annotated[
        dict[Id, Annotated[list[Short], Meta(max_length=rules.MOST_ADDRESSES)]], Meta(max_length=rules.MOST_INSTANCES)
    ]


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    bridge: Id
    generation: Number
    revision: Number
    state: Literal["proposed", "active", "suspended", "revoked"]
    terms: Terms
    reason: Annotated[str, Meta(max_length=rules.MOST_REASON)]


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. It names both sides, so that it counts on no other bridge and in no other direction."""

    speaker: Domain
    hearer: Domain
    statement: Statement


class Tell(Struct, frozen=True, forbid_unknown_fields=True):
    statement: Signed


class Told(Struct, frozen=True):
    """`revision` is the last one of the caller's that is known; `state` is what the side that answers is in."""

    state: str
    revision: int


class Get(Struct, frozen=True, forbid_unknown_fields=True):
    bridge: Id


class Got(Struct, frozen=True):
    """What the side that answers says of itself at this moment."""

    statement: Signed


def seal(statement: rules.Statement, speaker: BackendDomain, hearer: BackendDomain, key: MessageKey) -> str:
    """`statement` as `speaker` tells `hearer`."""
    return sealed(msgspec.json.encode(Document(speaker, hearer, written(statement))), TYPE, key)


def digest(statement: rules.Statement | None) -> str:
    """Stands for all that a statement says, nothing for none."""
    return "" if statement is None else sha256(msgspec.json.encode(written(statement))).hexdigest()[:32]


def opened(text: str, speaker: BackendDomain, hearer: BackendDomain, keys: Mapping[str, bytes]) -> rules.Statement:
    """What `speaker`, who has these message keys, told `hearer`. Raises `StatementRefused`."""
    try:
        document = msgspec.json.decode(proven(text, TYPE, keys), type=Document)
        if (document.speaker, document.hearer) != (speaker, hearer):
            raise StatementRefused("domain", "it is not what this backend told that one")
        return read(document.statement)
    except SealBroken as broken:
        raise StatementRefused(broken.rule, broken.detail) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StatementRefused("unreadable", str(error)[:200]) from None


def written(statement: rules.Statement) -> Statement:
    return Statement(
        bridge=str(statement.bridge),
        generation=statement.generation,
        revision=statement.revision,
        state=statement.state.value,
        terms=written_terms(statement.terms),
        reason=statement.reason,
    )


def read(statement: Statement) -> rules.Statement:
    """Raises `StatementRefused` for what is no value of its kind, or not in the one spelling of it."""
    if statement.reason and not statement.reason.isprintable():
        raise StatementRefused("unreadable", "its reason is not one line of printable characters")
    return rules.Statement(
        bridge=UUID(statement.bridge),
        generation=statement.generation,
        revision=statement.revision,
        state=rules.State(statement.state),
        terms=read_terms(statement.terms),
        reason=statement.reason,
    )


def written_terms(terms: rules.Terms) -> Terms:
    return Terms(
        network=terms.network,
        prefixes=[*map(str, terms.prefixes)],
        gateways=[Gateway(each.public_key, [*map(str, each.endpoints)]) for each in terms.gateways],
        vip=None if terms.vip is None else str(terms.vip),
        port=terms.port,
        instances={str(each): [*map(str, found)] for each, found in sorted(terms.instances.items())},
    )


def read_terms(terms: Terms) -> rules.Terms:
    """Raises `StatementRefused`, as `read`."""
    try:
        found = rules.Terms(
            network=terms.network and parse_label(terms.network, "/network"),
            prefixes=tuple(parse_network(each, "/prefixes") for each in terms.prefixes),
            gateways=tuple(map(_gateway, terms.gateways)),
            vip=None if terms.vip is None else parse_address(terms.vip, "/vip"),
            port=terms.port,
            instances={
                InstanceId(UUID(each)): tuple(parse_address(address, "/instances") for address in addresses)
                for each, addresses in terms.instances.items()
            },
        )
    except (InvalidValue, InvalidKey) as error:
        raise StatementRefused("unreadable", str(error)[:200]) from None
    if written_terms(found) != terms:
        raise StatementRefused("unreadable", "an address, prefix or endpoint is not in its canonical form")
    return found


def _gateway(gateway: Gateway) -> rules.Gateway:
    endpoints = tuple(Endpoint.parse(each) for each in gateway.endpoints)
    return rules.Gateway(PublicKey(str(Point.parse(gateway.public_key))), endpoints)
