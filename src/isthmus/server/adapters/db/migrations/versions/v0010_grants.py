"""Grants, the tokens of them, grants that we hold, services, and remotes that may call over bridges alone."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("remotes", sa.Column("wan_permitted", sa.Boolean(), nullable=False, server_default=sa.true()))
    create_grants()
    create_held_grants()
    create_services()


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def create_grants() -> None:
    op.create_table(
        "grants",
        required("id", sa.Uuid()),
        required("remote", sa.Text()),
        required("remote_generation", sa.BigInteger()),
        required("subject", sa.Text()),
        required("grantor", sa.Text()),
        required("kind", sa.Text()),
        optional("resource_id", sa.Text()),
        required("scopes", sa.JSON()),
        required("issued_at", sa.BigInteger()),
        required("expires_at", sa.BigInteger()),
        required("instances", sa.Text()),
        required("networks", sa.Text()),
        required("sources", sa.Text()),
        required("disclose", sa.Text()),
        required("note", sa.Text()),
        optional("revoked_at", sa.BigInteger()),
        required("revoked_by", sa.Text()),
        required("revoked_reason", sa.Text()),
        optional("last_used_at", sa.BigInteger()),
        required("version", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
    )
    op.create_index("ix_grants_remote", "grants", ["remote"])
    op.create_index("ix_grants_expires_at", "grants", ["expires_at"])
    op.create_table(
        "grant_tokens",
        required("public_id", sa.Text()),
        required("grant_id", sa.Uuid()),
        required("digest", sa.LargeBinary()),
        required("created_at", sa.BigInteger()),
        optional("expires_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.id"], name="fk_grant_tokens_grant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("public_id", name="pk_grant_tokens"),
    )
    op.create_index("ix_grant_tokens_grant_id", "grant_tokens", ["grant_id"])


def create_held_grants() -> None:
    op.create_table(
        "held_grants",
        required("remote", sa.Text()),
        required("id", sa.Uuid()),
        required("remote_generation", sa.BigInteger()),
        required("subject", sa.Text()),
        required("kind", sa.Text()),
        optional("resource_id", sa.Text()),
        required("scopes", sa.JSON()),
        required("issued_at", sa.BigInteger()),
        required("expires_at", sa.BigInteger()),
        required("instances", sa.Text()),
        required("networks", sa.Text()),
        required("sources", sa.Text()),
        required("services", sa.JSON()),
        optional("ended_at", sa.BigInteger()),
        required("revision", sa.BigInteger()),
        sa.PrimaryKeyConstraint("remote", "id", name="pk_held_grants"),
    )
    op.create_index("ix_held_grants_expires_at", "held_grants", ["expires_at"])


def create_services() -> None:
    op.create_table(
        "services",
        required("id", sa.Uuid()),
        required("name", sa.Text()),
        required("network_id", sa.Uuid()),
        required("protocol", sa.Text()),
        required("address", address()),
        required("ports", sa.JSON()),
        required("created_at", sa.BigInteger()),
        required("note", sa.Text()),
        required("version", sa.BigInteger()),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_services_network_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
        sa.UniqueConstraint("name", name="uq_services_name"),
    )
    op.create_index("ix_services_network_id", "services", ["network_id"])


def address() -> Any:
    return sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
