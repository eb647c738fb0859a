"""Partial updates: a field that was not named is different from a field that was set to nothing."""

from enum import Enum
from typing import Final, TypeAlias, TypeVar

T = TypeVar("T")


class Unset(Enum):
    UNSET = "unset"


UNSET: Final = Unset.UNSET
Maybe: TypeAlias = T | Unset


def chosen(new: Maybe[T], old: T) -> T:
    """`new` where it was named, else `old`."""
    return old if isinstance(new, Unset) else new
