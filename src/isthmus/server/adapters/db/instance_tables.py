"""The tables of this backend's instances."""

from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary, Table, Text, text

from isthmus.server.adapters.db.schema import belongs_to, metadata, optional, required
from isthmus.server.adapters.db.types import Id, Moment

IS_LIVE: dict[str, Any] = {"sqlite_where": text("revoked_at IS NULL"), "postgresql_where": text("revoked_at IS NULL")}
IS_AGENTS = "maker = 'agent' AND revoked_at IS NULL"
LIVE_OF_AGENT: dict[str, Any] = {"sqlite_where": text(IS_AGENTS), "postgresql_where": text(IS_AGENTS)}

# No reference to peers: an instance outlives its peer, as a revoked one.
own_instances = Table(
    "own_instances",
    metadata,
    Column("id", Id, primary_key=True),
    required("name", Text),
    required("maker", Text),
    required("created_at", Moment),
    optional("peer_id", Id),
    optional("revoked_at", Moment),
    required("revoked_by", Text),
    required("reason", Text),
    Index("uq_own_instances_name", "name", unique=True, **IS_LIVE),
    Index("uq_own_instances_agent", "peer_id", unique=True, **LIVE_OF_AGENT),
    Index(None, "peer_id"),
)

# Leaves that count. Those that were revoked go to `own_leaves`, from which the bundle is made.
instance_leaves = Table(
    "instance_leaves",
    metadata,
    # Up to 20 bytes, as hexadecimal digits.
    Column("serial", Text, primary_key=True),
    required("instance_id", Id, belongs_to("own_instances.id")),
    required("fingerprint", LargeBinary),
    required("authority", LargeBinary),
    required("uri", Text),
    required("infra_domains", JSON),
    required("issued_at", Moment),
    required("ends_at", Moment),
    Index(None, "instance_id"),
)
