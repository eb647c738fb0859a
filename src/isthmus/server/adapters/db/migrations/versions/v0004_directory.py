"""The people of the directory, and what mutations of remotes were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_directory()
    create_kept_answers()


def create_directory() -> None:
    op.create_table(
        "directory_users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("folded_name", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_users"),
        sa.UniqueConstraint("handle", name="uq_directory_users_handle"),
    )
    op.create_table(
        "directory_overrides",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["directory_users.id"], name="fk_directory_overrides_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "remote", name="pk_directory_overrides"),
    )


def create_kept_answers() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("rpc", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("remote", "generation", "component", "rpc", "key", name="pk_kept_answers"),
    )
    op.create_index("ix_kept_answers_at", "kept_answers", ["at"])
