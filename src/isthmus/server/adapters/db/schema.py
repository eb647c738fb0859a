"""What every table is made with: names of constraints, and columns that may be empty or must not."""

from typing import Any

from sqlalchemy import Column, ForeignKey, MetaData

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def belongs_to(target: str) -> ForeignKey:
    """A reference whose row goes when the row that it points to goes."""
    return ForeignKey(target, ondelete="CASCADE")


def required(name: str, kind: Any, *rest: Any) -> Column[Any]:
    return Column(name, kind, *rest, nullable=False)


def optional(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=True)
