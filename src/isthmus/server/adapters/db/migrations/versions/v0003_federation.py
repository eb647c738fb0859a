"""Federation: remotes, invitations, what was revoked, what waits to be delivered."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_federation()
    create_remotes()
    create_handshakes()
    create_instances()
    create_memory()
    create_outbox()


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def create_federation() -> None:
    op.create_table(
        "federation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        required("domain", sa.Text()),
        required("infra_domains", sa.JSON()),
        required("strategy", sa.Text()),
        required("service", sa.Text()),
        required("ports", sa.JSON()),
        required("shared_roots", sa.JSON()),
        required("listeners", sa.JSON()),
        required("generation", sa.BigInteger()),
        required("version", sa.BigInteger()),
        sa.CheckConstraint("id = 1", name="ck_federation_single"),
        sa.PrimaryKeyConstraint("id", name="pk_federation"),
    )


def create_remotes() -> None:
    op.create_table(
        "remotes",
        required("id", sa.Uuid()),
        required("domain", sa.Text()),
        required("generation", sa.BigInteger()),
        required("state", sa.Text()),
        required("changed_at", sa.BigInteger()),
        required("infra_domains", sa.JSON()),
        required("trust", sa.Text()),
        required("authorities", sa.JSON()),
        required("message_keys", sa.JSON()),
        required("bundle_sequence", sa.BigInteger()),
        required("direction", sa.Text()),
        optional("components", sa.JSON()),
        required("limits", sa.JSON()),
        optional("expires_at", sa.BigInteger()),
        required("needs_dnssec", sa.Boolean()),
        required("needs_tlsa", sa.Boolean()),
        required("confirmed_here", sa.Boolean()),
        required("confirmed_there", sa.Boolean()),
        required("short_code", sa.Text()),
        required("bundle_digest", sa.LargeBinary()),
        optional("state_there", sa.Text()),
        required("contact", sa.Text()),
        required("notes", sa.Text()),
        required("version", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_remotes"),
        sa.UniqueConstraint("domain", "generation", name="uq_remotes_domain_generation"),
    )
    is_live = sa.text("state <> 'revoked'")
    op.create_index(
        "uq_remotes_live", "remotes", ["domain"], unique=True, sqlite_where=is_live, postgresql_where=is_live
    )


def create_handshakes() -> None:
    op.create_table(
        "acceptances",
        required("remote_id", sa.Uuid()),
        required("invitation", sa.Text()),
        required("sealed_secret", sa.LargeBinary()),
        required("chain", sa.Text()),
        required("sealed_key", sa.LargeBinary()),
        required("expires_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["remote_id"], ["remotes.id"], name="fk_acceptances_remote_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("remote_id", name="pk_acceptances"),
    )
    op.create_table(
        "invitations",
        required("id", sa.Uuid()),
        required("domain", sa.Text()),
        required("digest", sa.LargeBinary()),
        required("created_at", sa.BigInteger()),
        required("created_by", sa.Text()),
        required("expires_at", sa.BigInteger()),
        optional("used_at", sa.BigInteger()),
        optional("withdrawn_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
    )


def create_instances() -> None:
    op.create_table(
        "remote_instances",
        required("domain", sa.Text()),
        required("instance", sa.Uuid()),
        optional("first_seen", sa.BigInteger()),
        optional("last_seen", sa.BigInteger()),
        optional("blocked_at", sa.BigInteger()),
        required("reason", sa.Text()),
        sa.PrimaryKeyConstraint("domain", "instance", name="pk_remote_instances"),
    )
    op.create_table(
        "revocations",
        required("id", sa.Uuid()),
        required("domain", sa.Text()),
        required("at", sa.BigInteger()),
        required("reason", sa.Text()),
        optional("fingerprint", sa.LargeBinary()),
        optional("serial", sa.Text()),
        optional("key", sa.LargeBinary()),
        optional("instance", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_revocations"),
    )
    op.create_index("ix_revocations_domain", "revocations", ["domain"])


def create_memory() -> None:
    op.create_table(
        "nonces",
        required("domain", sa.Text()),
        required("nonce", sa.Text()),
        required("expires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("domain", "nonce", name="pk_nonces"),
    )
    op.create_index("ix_nonces_expires_at", "nonces", ["expires_at"])
    op.create_table(
        "reported_rows",
        required("id", sa.Text()),
        required("expires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_reported_rows"),
    )
    op.create_index("ix_reported_rows_expires_at", "reported_rows", ["expires_at"])
    op.create_table(
        "remote_findings",
        required("id", sa.Uuid()),
        required("kind", sa.Text()),
        required("domain", sa.Text()),
        required("first_at", sa.BigInteger()),
        required("last_at", sa.BigInteger()),
        required("count", sa.BigInteger()),
        required("evidence", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_remote_findings"),
        sa.UniqueConstraint("kind", "domain", name="uq_remote_findings_kind_domain"),
    )


def create_outbox() -> None:
    op.create_table(
        "outbox",
        required("remote_id", sa.Uuid()),
        required("lane", sa.Text()),
        required("number", sa.BigInteger()),
        required("component", sa.Text()),
        required("rpc", sa.Text()),
        required("body", sa.JSON()),
        required("created_at", sa.BigInteger()),
        required("next_at", sa.BigInteger()),
        required("attempts", sa.Integer()),
        required("error", sa.Text()),
        required("parked", sa.Text()),
        sa.ForeignKeyConstraint(["remote_id"], ["remotes.id"], name="fk_outbox_remote_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("remote_id", "lane", "number", name="pk_outbox"),
    )
    op.create_index("ix_outbox_next_at", "outbox", ["next_at"])
    op.create_table(
        "outbox_lanes",
        required("remote_id", sa.Uuid()),
        required("lane", sa.Text()),
        required("sent", sa.BigInteger()),
        required("acknowledged", sa.BigInteger()),
        required("received", sa.BigInteger()),
        sa.ForeignKeyConstraint(["remote_id"], ["remotes.id"], name="fk_outbox_lanes_remote_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("remote_id", "lane", name="pk_outbox_lanes"),
    )
