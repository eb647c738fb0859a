"""Every table. Constraints carry the invariants, and their names are what `Conflict.constraint` says."""

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
    text,
)

# Also for its tables, which belong to the same schema.
from isthmus.server.adapters.db import audit_tables as audit_tables
from isthmus.server.adapters.db import bridge_tables as bridge_tables
from isthmus.server.adapters.db import certificate_tables as certificate_tables
from isthmus.server.adapters.db import crossing_tables as crossing_tables
from isthmus.server.adapters.db import federation_tables as federation_tables
from isthmus.server.adapters.db import grant_tables as grant_tables
from isthmus.server.adapters.db import instance_tables as instance_tables
from isthmus.server.adapters.db.schema import belongs_to, optional, required
from isthmus.server.adapters.db.schema import metadata as metadata
from isthmus.server.adapters.db.types import Address, Cidr, Id, Moment

ONLY_OPEN: dict[str, Any] = {"sqlite_where": text("state = 'open'"), "postgresql_where": text("state = 'open'")}

# One row, which the first migration puts in. `audited` is the number of the last audit row: a transaction that
# raises it holds it until the commit, so numbers have neither gaps nor another order than the commits.
backend = Table(
    "backend",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    optional("ula", Cidr),
    required("audited", BigInteger),
    CheckConstraint("id = 1", name="single"),
)

networks = Table(
    "networks",
    metadata,
    Column("id", Id, primary_key=True),
    required("name", Text),
    optional("cidr_v4", Cidr),
    required("cidr_v6", Cidr),
    required("domain", Text),
    required("created_at", Moment),
    required("mtu", Integer),
    required("listen_port", Integer),
    required("keepalive", Integer),
    required("direct_paths", Text),
    required("agents", Integer),
    optional("primary_id", Id),
    required("key_max_age", Integer),
    required("dns_upstreams", JSON),
    required("limits", JSON),
    required("revision", BigInteger),
    required("jump_revision", BigInteger),
    required("shared_revision", BigInteger),
    # Belongs to the revision log: the first revision whose state it can tell.
    Column("history_begins", BigInteger, nullable=False, server_default="1"),
    required("version", BigInteger),
    UniqueConstraint("name"),
    UniqueConstraint("cidr_v6"),
)

peers = Table(
    "peers",
    metadata,
    Column("id", Id, primary_key=True),
    required("network_id", Id, belongs_to("networks.id")),
    required("name", Text),
    required("kind", Text),
    required("created_at", Moment),
    optional("public_key", Text),
    optional("endpoint_host", Text),
    optional("endpoint_port", Integer),
    required("isolated", Boolean),
    required("full_encapsulation", Boolean),
    optional("owner", Text),
    required("labels", JSON),
    required("candidates", JSON),
    optional("observed", Text),
    optional("key_changed_at", Moment),
    optional("rekey_asked_at", Moment),
    required("server_made_key", Boolean),
    required("revision", BigInteger),
    required("version", BigInteger),
    UniqueConstraint("network_id", "name"),
    UniqueConstraint("public_key"),
    CheckConstraint("(endpoint_host IS NULL) = (endpoint_port IS NULL)", name="endpoint"),
    Index(None, "network_id", "id"),
    Index(None, "network_id", "kind"),
)

# The ranges behind peers: within one network each has one way in.
offers = Table(
    "offers",
    metadata,
    required("network_id", Id, belongs_to("networks.id")),
    required("cidr", Cidr),
    required("peer_id", Id, belongs_to("peers.id")),
    PrimaryKeyConstraint("network_id", "cidr"),
    Index(None, "peer_id"),
)

peer_groups = Table(
    "peer_groups",
    metadata,
    required("network_id", Id, belongs_to("networks.id")),
    required("name", Text),
    required("peer_id", Id, belongs_to("peers.id")),
    PrimaryKeyConstraint("network_id", "name", "peer_id"),
    Index(None, "peer_id"),
)

# No reference to peers: what happened outlives the peer. One open incident of each type for each peer.
incidents = Table(
    "incidents",
    metadata,
    Column("id", Id, primary_key=True),
    required("network_id", Id, belongs_to("networks.id")),
    required("peer_id", Id),
    required("peer_name", Text),
    required("type", Text),
    required("state", Text),
    required("blocks", Boolean),
    required("evidence", JSON),
    required("detected_at", Moment),
    optional("resolved_at", Moment),
    optional("resolved_by", Text),
    optional("reason", Text),
    Index("uq_incidents_open", "peer_id", "type", unique=True, **ONLY_OPEN),
    Index("ix_incidents_network_id", "network_id", "id"),
)

# The access control list: who is left out of every config, and which open incident is the reason.
blocked_peers = Table(
    "blocked_peers",
    metadata,
    required("peer_id", Id, belongs_to("peers.id")),
    required("incident_id", Id, belongs_to("incidents.id")),
    PrimaryKeyConstraint("peer_id", "incident_id"),
)

network_templates = Table(
    "network_templates",
    metadata,
    Column("id", Id, primary_key=True),
    required("name", Text),
    required("settings", JSON),
    required("created_at", Moment),
    required("version", BigInteger),
    UniqueConstraint("name"),
)

# Addresses that are not free. No reference to peers: an address outlives its peer in quarantine, and it is held
# before the peer's row is there.
holdings = Table(
    "holdings",
    metadata,
    required("network_id", Id, belongs_to("networks.id")),
    required("address", Address),
    required("family", SmallInteger),
    required("held", Text),
    optional("peer_id", Id),
    optional("until", Moment),
    optional("note", Text),
    PrimaryKeyConstraint("network_id", "address"),
    UniqueConstraint("peer_id", "family"),
    Index(None, "network_id", "family", "held"),
    Index(None, "network_id", "until"),
)

free_ranges = Table(
    "free_ranges",
    metadata,
    required("network_id", Id, belongs_to("networks.id")),
    required("family", SmallInteger),
    required("first", Address),
    required("last", Address),
    PrimaryKeyConstraint("network_id", "family", "first"),
)

enrollment_tokens = Table(
    "enrollment_tokens",
    metadata,
    Column("peer_id", Id, belongs_to("peers.id"), primary_key=True),
    required("digest", LargeBinary),
    required("prefix", Text),
    required("created_at", Moment),
    required("expires_at", Moment),
    optional("used_at", Moment),
    optional("used_by", Text),
    UniqueConstraint("digest"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    required("peer_id", Id, belongs_to("peers.id")),
    required("digest", LargeBinary),
    required("created_at", Moment),
    optional("rotated_at", Moment),
    optional("expires_at", Moment),
    UniqueConstraint("digest"),
    Index(None, "peer_id"),
)

peer_statuses = Table(
    "peer_statuses",
    metadata,
    Column("peer_id", Id, belongs_to("peers.id"), primary_key=True),
    optional("last_seen", Moment),
    optional("hostname", Text),
    optional("agent_version", Text),
    optional("applied_revision", BigInteger),
    optional("applied_error", Text),
    optional("endpoint", Text),
    optional("latest_handshake", Moment),
    required("rx", BigInteger),
    required("tx", BigInteger),
)

kept_keys = Table(
    "kept_keys",
    metadata,
    Column("peer_id", Id, belongs_to("peers.id"), primary_key=True),
    required("sealed", LargeBinary),
)

revision_log = Table(
    "revision_log",
    metadata,
    required("network_id", Id, belongs_to("networks.id")),
    required("revision", BigInteger),
    required("event", Text),
    required("subject", Id),
    required("audience", Text),
    required("keys", JSON),
    optional("state", JSON),
    required("at", Moment),
    PrimaryKeyConstraint("network_id", "revision"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    required("at", Moment),
    required("actor", Text),
    required("action", Text),
    required("subject", Text),
    required("outcome", Text),
    required("request_id", Text),
    optional("reason", Text),
    required("facts", JSON),
    # An operator who has been told an id asks what it was.
    Index(None, "request_id"),
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    required("name", Text),
    required("password_hash", Text),
    required("created_at", Moment),
    required("role", Text),
    required("networks", JSON),
    optional("disabled_at", Moment),
    required("awaits_setup", Boolean),
    required("version", BigInteger),
    optional("issuer", Text),
    optional("subject", Text),
    UniqueConstraint("name"),
    Index("ix_users_identity", "issuer", "subject", unique=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Id, primary_key=True),
    required("user_id", Id, belongs_to("users.id")),
    required("name", Text),
    required("digest", LargeBinary),
    required("prefix", Text),
    required("scopes", JSON),
    required("created_at", Moment),
    optional("expires_at", Moment),
    optional("last_used_at", Moment),
    UniqueConstraint("digest"),
    Index(None, "user_id"),
)

# The people of the directory; `users` above are those who administer this server. `folded_name` is the display name
# as searches compare it.
directory_users = Table(
    "directory_users",
    metadata,
    Column("id", Id, primary_key=True),
    required("handle", Text),
    required("display_name", Text),
    required("folded_name", Text),
    required("visibility", Text),
    required("created_at", Moment),
    required("version", BigInteger),
    UniqueConstraint("handle"),
)

directory_overrides = Table(
    "directory_overrides",
    metadata,
    required("user_id", Id, belongs_to("directory_users.id")),
    required("remote", Text),
    required("visibility", Text),
    PrimaryKeyConstraint("user_id", "remote"),
)

# What mutations of remotes were answered, written in the transactions of their effects.
kept_answers = Table(
    "kept_answers",
    metadata,
    required("remote", Text),
    required("generation", BigInteger),
    required("component", Text),
    required("rpc", Text),
    required("key", Text),
    required("body", LargeBinary),
    required("answer", LargeBinary),
    required("at", Moment),
    PrimaryKeyConstraint("remote", "generation", "component", "rpc", "key"),
    Index(None, "at"),
)
