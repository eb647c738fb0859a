"""The instances of this backend and their leaves."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_instances()
    create_leaves()


def create_instances() -> None:
    op.create_table(
        "own_instances",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("maker", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_own_instances"),
    )
    one_live("uq_own_instances_name", "name", "revoked_at IS NULL")
    one_live("uq_own_instances_agent", "peer_id", "maker = 'agent' AND revoked_at IS NULL")
    op.create_index("ix_own_instances_peer_id", "own_instances", ["peer_id"])


def one_live(name: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "own_instances", [column], unique=True, sqlite_where=condition, postgresql_where=condition)


def create_leaves() -> None:
    op.create_table(
        "instance_leaves",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("authority", sa.LargeBinary(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("infra_domains", sa.JSON(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["own_instances.id"], name="fk_instance_leaves_instance_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_instance_leaves"),
    )
    op.create_index("ix_instance_leaves_instance_id", "instance_leaves", ["instance_id"])
