"""Pages of a listing by cursor."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from isthmus.server.records import Page


class HasId(Protocol):
    @property
    def id(self) -> UUID: ...


def cursor(rows: Sequence[HasId], page: Page) -> str | None:
    """The cursor of a full page: the id of its last row, which never changes."""
    return str(rows[-1].id) if len(rows) == page.limit else None
