"""Remotes of which only known instances may call."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("remotes", sa.Column("known_instances_only", sa.Boolean(), nullable=False, server_default=sa.false()))
