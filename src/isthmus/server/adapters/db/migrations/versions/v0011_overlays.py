"""Where the ingress listens inside networks."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "overlay_ingresses",
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("peer_id", sa.Uuid(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name="fk_overlay_ingresses_network_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name="fk_overlay_ingresses_peer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("network_id", name="pk_overlay_ingresses"),
    )
    op.create_index("ix_overlay_ingresses_peer_id", "overlay_ingresses", ["peer_id"])
