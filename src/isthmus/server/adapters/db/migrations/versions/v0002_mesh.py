"""Direct paths, names, groups, incidents, templates, the history of configs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    extend_networks_and_peers()
    extend_sessions_and_log()
    create_groups_and_templates()
    create_incidents()
    count_agents()


def extend_networks_and_peers() -> None:
    op.add_column("networks", sa.Column("direct_paths", sa.Text(), nullable=False, server_default="auto"))
    op.add_column("networks", sa.Column("agents", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("networks", sa.Column("primary_id", sa.Uuid(), nullable=True))
    op.add_column("networks", sa.Column("key_max_age", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("networks", sa.Column("dns_upstreams", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("networks", sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("peers", sa.Column("candidates", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("peers", sa.Column("observed", sa.Text(), nullable=True))
    op.add_column("peers", sa.Column("key_changed_at", sa.BigInteger(), nullable=True))
    op.add_column("peers", sa.Column("rekey_asked_at", sa.BigInteger(), nullable=True))


def extend_sessions_and_log() -> None:
    op.add_column("sessions", sa.Column("rotated_at", sa.BigInteger(), nullable=True))
    op.add_column("sessions", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("revision_log", sa.Column("keys", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("revision_log", sa.Column("state", sa.JSON(), nullable=True))
    op.add_column("networks", sa.Column("history_begins", sa.BigInteger(), nullable=False, server_default="1"))
    # What was logged without states tells nothing: the server writes a whole state as their next revision.
    op.execute("UPDATE networks SET history_begins = revision + 1")


def create_groups_and_templates() -> None:
    op.create_table(
        "peer_groups",
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_peer_groups_network_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_peer_groups_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("network_id", "name", "peer_id", name="pk_peer_groups"),
    )
    op.create_index("ix_peer_groups_peer_id", "peer_groups", ["peer_id"])
    op.create_table(
        "network_templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_network_templates"),
        sa.UniqueConstraint("name", name="uq_network_templates_name"),
    )


def create_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("peer_name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("detected_at", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_incidents_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    is_open = sa.text("state = 'open'")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["peer_id", "type"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_incidents_network_id", "incidents", ["network_id", "id"])
    op.create_table(
        "blocked_peers",
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_blocked_peers_peer_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name="fk_blocked_peers_incident_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("peer_id", "incident_id", name="pk_blocked_peers"),
    )


def count_agents() -> None:
    """The counter starts from the peers that are there; their keys count as made when the peer was."""
    op.execute(
        "UPDATE networks SET agents = "
        "(SELECT count(*) FROM peers WHERE peers.network_id = networks.id AND peers.kind = 'dynamic')"
    )
    op.execute("UPDATE peers SET key_changed_at = created_at WHERE public_key IS NOT NULL")
