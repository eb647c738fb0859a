"""Remotes that are off the allow list, and findings that are no more."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("remotes", sa.Column("removed_at", sa.BigInteger(), nullable=True))
    op.add_column("remote_findings", sa.Column("cleared_at", sa.BigInteger(), nullable=True))
