"""The tables of the federation."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from isthmus.server.adapters.db.schema import belongs_to, metadata, optional, required
from isthmus.server.adapters.db.types import Id, Moment

ONLY_LIVE: dict[str, Any] = {"sqlite_where": text("state <> 'revoked'"), "postgresql_where": text("state <> 'revoked'")}

# One row, once federation is set up. A transaction that raises `generation` holds it until the commit, so generations
# have the order of the commits.
federation = Table(
    "federation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    required("domain", Text),
    required("infra_domains", JSON),
    required("strategy", Text),
    required("service", Text),
    required("ports", JSON),
    required("shared_roots", JSON),
    required("listeners", JSON),
    required("generation", BigInteger),
    required("version", BigInteger),
    CheckConstraint("id = 1", name="single"),
)

overlay_ingresses = Table(
    "overlay_ingresses",
    metadata,
    Column("network_id", Id, belongs_to("networks.id"), primary_key=True),
    required("peer_id", Id, belongs_to("peers.id")),
    required("port", Integer),
    Index(None, "peer_id"),
)

# Revoked entries stay; of the others there is one for each domain.
remotes = Table(
    "remotes",
    metadata,
    Column("id", Id, primary_key=True),
    required("domain", Text),
    required("generation", BigInteger),
    required("state", Text),
    required("changed_at", Moment),
    required("infra_domains", JSON),
    required("trust", Text),
    required("authorities", JSON),
    required("message_keys", JSON),
    required("bundle_sequence", BigInteger),
    required("direction", Text),
    optional("components", JSON),
    required("limits", JSON),
    optional("expires_at", Moment),
    required("needs_dnssec", Boolean),
    required("needs_tlsa", Boolean),
    Column("known_instances_only", Boolean, nullable=False, server_default=false()),
    Column("wan_permitted", Boolean, nullable=False, server_default=true()),
    required("confirmed_here", Boolean),
    required("confirmed_there", Boolean),
    required("short_code", Text),
    required("bundle_digest", LargeBinary),
    optional("state_there", Text),
    required("contact", Text),
    required("notes", Text),
    optional("removed_at", Moment),
    required("version", BigInteger),
    UniqueConstraint("domain", "generation"),
    Index("uq_remotes_live", "domain", unique=True, **ONLY_LIVE),
)

acceptances = Table(
    "acceptances",
    metadata,
    Column("remote_id", Id, belongs_to("remotes.id"), primary_key=True),
    required("invitation", Text),
    required("sealed_secret", LargeBinary),
    required("chain", Text),
    required("sealed_key", LargeBinary),
    required("expires_at", Moment),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", Id, primary_key=True),
    required("domain", Text),
    required("digest", LargeBinary),
    required("created_at", Moment),
    required("created_by", Text),
    required("expires_at", Moment),
    optional("used_at", Moment),
    optional("withdrawn_at", Moment),
    UniqueConstraint("digest"),
)

# No reference to remotes: what is known of a domain's instances outlives its entries.
remote_instances = Table(
    "remote_instances",
    metadata,
    required("domain", Text),
    required("instance", Id),
    optional("first_seen", Moment),
    optional("last_seen", Moment),
    optional("blocked_at", Moment),
    required("reason", Text),
    PrimaryKeyConstraint("domain", "instance"),
)

revocations = Table(
    "revocations",
    metadata,
    Column("id", Id, primary_key=True),
    required("domain", Text),
    required("at", Moment),
    required("reason", Text),
    optional("fingerprint", LargeBinary),
    # Up to 20 bytes, as hexadecimal digits.
    optional("serial", Text),
    optional("key", LargeBinary),
    optional("instance", Id),
    Index(None, "domain"),
)

nonces = Table(
    "nonces",
    metadata,
    required("domain", Text),
    required("nonce", Text),
    required("expires_at", Moment),
    PrimaryKeyConstraint("domain", "nonce"),
    Index(None, "expires_at"),
)

# Ids of audit rows that the Federator has reported, so that a report that is sent twice counts once.
reported_rows = Table(
    "reported_rows",
    metadata,
    Column("id", Text, primary_key=True),
    required("expires_at", Moment),
    Index(None, "expires_at"),
)

outbox = Table(
    "outbox",
    metadata,
    required("remote_id", Id, belongs_to("remotes.id")),
    required("lane", Text),
    required("number", BigInteger),
    required("component", Text),
    required("rpc", Text),
    required("body", JSON),
    required("created_at", Moment),
    required("next_at", Moment),
    required("attempts", Integer),
    required("error", Text),
    required("parked", Text),
    Column("subject", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("remote_id", "lane", "number"),
    Index(None, "next_at"),
)

outbox_lanes = Table(
    "outbox_lanes",
    metadata,
    required("remote_id", Id, belongs_to("remotes.id")),
    required("lane", Text),
    required("sent", BigInteger),
    required("acknowledged", BigInteger),
    required("received", BigInteger),
    PrimaryKeyConstraint("remote_id", "lane"),
)

remote_findings = Table(
    "remote_findings",
    metadata,
    Column("id", Id, primary_key=True),
    required("kind", Text),
    required("domain", Text),
    required("first_at", Moment),
    required("last_at", Moment),
    required("count", BigInteger),
    required("evidence", JSON),
    optional("cleared_at", Moment),
    Column("subject", Text, nullable=False, server_default=""),
    UniqueConstraint("kind", "domain", "subject"),
)
