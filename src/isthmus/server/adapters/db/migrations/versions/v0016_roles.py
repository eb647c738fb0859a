"""Roles of accounts: those that were there were made to do everything."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("role", sa.Text(), nullable=False, server_default="owner"))
    op.add_column("users", sa.Column("networks", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("users", sa.Column("disabled_at", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("awaits_setup", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("users", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
