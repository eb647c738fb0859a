"""What became of one request is found without reading the whole log."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_audit_log_request_id", "audit_log", ["request_id"])
