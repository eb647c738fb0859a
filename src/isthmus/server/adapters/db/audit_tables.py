"""The tables of the audit chain: links and seals of our own log, and what we witness of those of remotes."""

from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Table, Text

from isthmus.server.adapters.db.schema import belongs_to, metadata, required
from isthmus.server.adapters.db.types import Id, Moment

# No references to the log: a row that goes must leave its link behind, which tells of it.
audit_links = Table(
    "audit_links",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    required("hash", LargeBinary),
)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    required("hash", LargeBinary),
    required("at", Moment),
    required("key_id", Text),
    required("previous", BigInteger),
    required("previous_hash", LargeBinary),
    required("public_key", LargeBinary),
    required("signature", LargeBinary),
)

audit_witnesses = Table(
    "audit_witnesses",
    metadata,
    required("remote_id", Id, belongs_to("remotes.id")),
    required("number", BigInteger),
    required("head", Text),
    required("heard_at", Moment),
    PrimaryKeyConstraint("remote_id", "head"),
)
