"""The backend's own authorities, message keys, leaves and bundle."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_bundle()
    create_authorities()
    create_keys()
    create_leaves()


def create_bundle() -> None:
    op.create_table(
        "own_bundle",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("federator", sa.Uuid(), nullable=False),
        sa.Column("ingress", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("signed", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_own_bundle_single"),
        sa.PrimaryKeyConstraint("id", name="pk_own_bundle"),
    )


def create_authorities() -> None:
    op.create_table(
        "own_authorities",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("certificates", sa.JSON(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("is_imported", sa.Boolean(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_own_authorities"),
    )
    one_of_each_standing("own_authorities")


def create_keys() -> None:
    op.create_table(
        "own_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_own_keys"),
    )
    one_of_each_standing("own_keys")


def create_leaves() -> None:
    op.create_table(
        "own_leaves",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("authority", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("infra_domains", sa.JSON(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_own_leaves"),
    )
    op.create_index("ix_own_leaves_ends_at", "own_leaves", ["ends_at"])


def one_of_each_standing(table: str) -> None:
    """Past ones are many; of the others there is one."""
    for standing in ("current", "next"):
        where = sa.text(f"standing = '{standing}'")
        op.create_index(
            f"uq_{table}_{standing}", table, ["standing"], unique=True, sqlite_where=where, postgresql_where=where
        )
