"""What agents are told of bridges."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "crossings",
        sa.Column("bridge_id", sa.Uuid(), nullable=False),
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_crossings_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bridge_id", name="pk_crossings"),
    )
    op.create_index("ix_crossings_network_id", "crossings", ["network_id"])
