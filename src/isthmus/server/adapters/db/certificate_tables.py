"""The tables of the backend's own certificates and keys. Private keys are in files, never here."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from isthmus.server.adapters.db.schema import metadata, optional, required
from isthmus.server.adapters.db.types import Id, Moment

IS_CURRENT: dict[str, Any] = {
    "sqlite_where": text("standing = 'current'"),
    "postgresql_where": text("standing = 'current'"),
}
IS_NEXT: dict[str, Any] = {"sqlite_where": text("standing = 'next'"), "postgresql_where": text("standing = 'next'")}

own_bundle = Table(
    "own_bundle",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    required("federator", Id),
    required("ingress", Id),
    required("sequence", BigInteger),
    required("digest", LargeBinary),
    required("signed", Text),
    CheckConstraint("id = 1", name="single"),
)

own_authorities = Table(
    "own_authorities",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True),
    required("certificates", JSON),
    required("ends_at", Moment),
    required("is_imported", Boolean),
    required("standing", Text),
    required("published_at", Moment),
    required("changed_at", Moment),
    Index("uq_own_authorities_current", "standing", unique=True, **IS_CURRENT),
    Index("uq_own_authorities_next", "standing", unique=True, **IS_NEXT),
)

own_keys = Table(
    "own_keys",
    metadata,
    Column("id", Text, primary_key=True),
    required("public", LargeBinary),
    required("standing", Text),
    required("published_at", Moment),
    required("changed_at", Moment),
    Index("uq_own_keys_current", "standing", unique=True, **IS_CURRENT),
    Index("uq_own_keys_next", "standing", unique=True, **IS_NEXT),
)

own_leaves = Table(
    "own_leaves",
    metadata,
    # Up to 20 bytes, as hexadecimal digits.
    Column("serial", Text, primary_key=True),
    required("fingerprint", LargeBinary),
    required("authority", LargeBinary),
    required("purpose", Text),
    required("uri", Text),
    required("infra_domains", JSON),
    required("issued_at", Moment),
    required("ends_at", Moment),
    optional("revoked_at", Moment),
    required("reason", Text),
    Index(None, "ends_at"),
)
