"""The tables of bridges."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Table, Text, text

from isthmus.server.adapters.db.schema import metadata, optional, required
from isthmus.server.adapters.db.types import Id, Moment

ONLY_LIVE: dict[str, Any] = {"sqlite_where": text("state <> 'revoked'"), "postgresql_where": text("state <> 'revoked'")}

# No references: a revoked bridge stays readable when its remote and its network are long gone. Those that are proposed
# to us have no network yet, and no two of these are alike for the index.
bridges = Table(
    "bridges",
    metadata,
    Column("id", Id, primary_key=True),
    required("remote", Text),
    required("remote_generation", BigInteger),
    required("generation", BigInteger),
    optional("network_id", Id),
    required("proposed_by", Text),
    required("state", Text),
    required("created_at", Moment),
    required("changed_at", Moment),
    required("holds", JSON),
    required("revision", BigInteger),
    optional("ours", JSON),
    required("offered", JSON),
    required("accepted", JSON),
    optional("theirs", JSON),
    required("signed", Text),
    required("reason", Text),
    required("version", BigInteger),
    Index("uq_bridges_live", "remote", "network_id", unique=True, **ONLY_LIVE),
    Index(None, "network_id"),
)

# Of an invitation or of a remote's entry: there is no one table to refer to.
bridge_wishes = Table(
    "bridge_wishes",
    metadata,
    Column("id", Id, primary_key=True),
    required("network_id", Id),
    required("proposes", Boolean),
    required("at", Moment),
)
