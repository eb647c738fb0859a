"""The tables of grants and services."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from isthmus.domain.federation.axes import as_stored, from_stored, parse_instance, parse_network_id, parse_source
from isthmus.domain.federation.grant import Axis
from isthmus.server.adapters.db.schema import belongs_to, metadata, optional, required
from isthmus.server.adapters.db.types import Address, Id, Moment


class AxisText(TypeDecorator[Axis[Any]]):
    """An axis as JSON text. Text that is damaged in any way reads as a list that admits nothing, and never fails."""

    impl = Text
    cache_ok = True

    def __init__(self, parse_entry: Callable[[Any, str], Any]) -> None:
        super().__init__()
        self.parse_entry = parse_entry

    def process_bind_param(self, value: Axis[Any] | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(as_stored(value))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Axis[Any]:
        try:
            return from_stored(json.loads(str(value)), self.parse_entry)
        except (ValueError, RecursionError):
            return from_stored(None, self.parse_entry)


def axes() -> tuple[Column[Any], ...]:
    kinds = {"instances": parse_instance, "networks": parse_network_id, "sources": parse_source}
    return tuple(required(name, AxisText(parse_entry)) for name, parse_entry in kinds.items())


# No reference to remotes, whose domain it is: a grant stays readable for as long as there is an audit of it.
grants = Table(
    "grants",
    metadata,
    Column("id", Id, primary_key=True),
    required("remote", Text),
    required("remote_generation", BigInteger),
    required("subject", Text),
    required("grantor", Text),
    required("kind", Text),
    optional("resource_id", Text),
    required("scopes", JSON),
    required("issued_at", Moment),
    required("expires_at", Moment),
    *axes(),
    required("disclose", Text),
    required("note", Text),
    optional("revoked_at", Moment),
    required("revoked_by", Text),
    required("revoked_reason", Text),
    optional("last_used_at", Moment),
    required("version", BigInteger),
    Index(None, "remote"),
    Index(None, "expires_at"),
)

grant_tokens = Table(
    "grant_tokens",
    metadata,
    Column("public_id", Text, primary_key=True),
    required("grant_id", Id, belongs_to("grants.id")),
    required("digest", LargeBinary),
    required("created_at", Moment),
    optional("expires_at", Moment),
    Index(None, "grant_id"),
)

held_grants = Table(
    "held_grants",
    metadata,
    required("remote", Text),
    required("id", Id),
    required("remote_generation", BigInteger),
    required("subject", Text),
    required("kind", Text),
    optional("resource_id", Text),
    required("scopes", JSON),
    required("issued_at", Moment),
    required("expires_at", Moment),
    *axes(),
    required("services", JSON),
    optional("ended_at", Moment),
    required("revision", BigInteger),
    PrimaryKeyConstraint("remote", "id"),
    Index(None, "expires_at"),
)

services = Table(
    "services",
    metadata,
    Column("id", Id, primary_key=True),
    required("name", Text),
    required("network_id", Id, belongs_to("networks.id")),
    required("protocol", Text),
    required("address", Address),
    required("ports", JSON),
    required("created_at", Moment),
    required("note", Text),
    required("version", BigInteger),
    UniqueConstraint("name"),
    Index(None, "network_id"),
)
