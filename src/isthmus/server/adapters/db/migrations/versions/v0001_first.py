"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Hexadecimal digits in byte order, whatever the locale.
address = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")


def upgrade() -> None:
    create_backend_and_accounts()
    create_networks_and_addresses()
    create_peers_and_what_is_theirs()
    create_enrollment()
    create_logs()
    op.execute("INSERT INTO backend (id, audited) VALUES (1, 0)")


def create_backend_and_accounts() -> None:
    op.create_table(
        "backend",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("ula", sa.Text(), nullable=True),
        sa.Column("audited", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_backend_single"),
        sa.PrimaryKeyConstraint("id", name="pk_backend"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_tokens_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("digest", name="uq_api_tokens_digest"),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])


def create_networks_and_addresses() -> None:
    op.create_table(
        "networks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cidr_v4", sa.Text(), nullable=True),
        sa.Column("cidr_v6", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("mtu", sa.Integer(), nullable=False),
        sa.Column("listen_port", sa.Integer(), nullable=False),
        sa.Column("keepalive", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("jump_revision", sa.BigInteger(), nullable=False),
        sa.Column("shared_revision", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
        sa.UniqueConstraint("cidr_v6", name="uq_networks_cidr_v6"),
        sa.UniqueConstraint("name", name="uq_networks_name"),
    )
    op.create_table(
        "holdings",
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("address", address, nullable=False),
        sa.Column("family", sa.SmallInteger(), nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_holdings_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("network_id", "address", name="pk_holdings"),
        sa.UniqueConstraint("peer_id", "family", name="uq_holdings_peer_id_family"),
    )
    op.create_index("ix_holdings_network_id_family_held", "holdings", ["network_id", "family", "held"])
    op.create_index("ix_holdings_network_id_until", "holdings", ["network_id", "until"])
    op.create_table(
        "free_ranges",
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("family", sa.SmallInteger(), nullable=False),
        sa.Column("first", address, nullable=False),
        sa.Column("last", address, nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_free_ranges_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("network_id", "family", "first", name="pk_free_ranges"),
    )


def create_peers_and_what_is_theirs() -> None:
    op.create_table(
        "peers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("endpoint_host", sa.Text(), nullable=True),
        sa.Column("endpoint_port", sa.Integer(), nullable=True),
        sa.Column("isolated", sa.Boolean(), nullable=False),
        sa.Column("full_encapsulation", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("server_made_key", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(endpoint_host IS NULL) = (endpoint_port IS NULL)", name="ck_peers_endpoint"),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_peers_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_peers"),
        sa.UniqueConstraint("network_id", "name", name="uq_peers_network_id_name"),
        sa.UniqueConstraint("public_key", name="uq_peers_public_key"),
    )
    op.create_index("ix_peers_network_id_id", "peers", ["network_id", "id"])
    op.create_index("ix_peers_network_id_kind", "peers", ["network_id", "kind"])
    op.create_table(
        "offers",
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("cidr", sa.Text(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_offers_network_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_offers_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("network_id", "cidr", name="pk_offers"),
    )
    op.create_index("ix_offers_peer_id", "offers", ["peer_id"])
    op.create_table(
        "peer_statuses",
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=True),
        sa.Column("hostname", sa.Text(), nullable=True),
        sa.Column("agent_version", sa.Text(), nullable=True),
        sa.Column("applied_revision", sa.BigInteger(), nullable=True),
        sa.Column("applied_error", sa.Text(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=True),
        sa.Column("latest_handshake", sa.BigInteger(), nullable=True),
        sa.Column("rx", sa.BigInteger(), nullable=False),
        sa.Column("tx", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_peer_statuses_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("peer_id", name="pk_peer_statuses"),
    )
    op.create_table(
        "kept_keys",
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_kept_keys_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("peer_id", name="pk_kept_keys"),
    )


def create_enrollment() -> None:
    op.create_table(
        "enrollment_tokens",
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("used_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_enrollment_tokens_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("peer_id", name="pk_enrollment_tokens"),
        sa.UniqueConstraint("digest", name="uq_enrollment_tokens_digest"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_sessions_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("digest", name="uq_sessions_digest"),
    )
    op.create_index("ix_sessions_peer_id", "sessions", ["peer_id"])


def create_logs() -> None:
    op.create_table(
        "revision_log",
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_revision_log_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("network_id", "revision", name="pk_revision_log"),
    )
    op.create_table(
        "audit_log",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_log"),
    )
