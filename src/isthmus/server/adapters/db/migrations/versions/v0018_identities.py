"""Who signs in with an identity provider is known by what that calls them; accounts of before have passwords."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("subject", sa.Text(), nullable=True))
    op.create_index("ix_users_identity", "users", ["issuer", "subject"], unique=True)
