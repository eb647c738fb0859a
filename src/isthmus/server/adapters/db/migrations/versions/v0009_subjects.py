"""Findings about one thing of a domain: a grant, a bridge."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("remote_findings") as findings:
        findings.add_column(sa.Column("subject", sa.Text(), server_default="", nullable=False))
        findings.drop_constraint("uq_remote_findings_kind_domain", type_="unique")
        findings.create_unique_constraint("uq_remote_findings_kind_domain_subject", ["kind", "domain", "subject"])
