"""Pages of a listing by cursor."""

from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from isthmus.server.adapters.api.views import Listing
from isthmus.server.records import Page


class HasId(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T", bound=HasId)


def listing(items: Sequence[T], page: Page) -> "Listing[T]":  # quoted: pydantic has no schema for the bound
    """A full page has a cursor: the id of its last row, which never changes."""
    return Listing(items=items, next=str(items[-1].id) if len(items) == page.limit else None)
