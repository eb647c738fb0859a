"""How a backend's own authorities and keys follow each other: published first, used later, kept for a while after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from isthmus.domain.federation.bundle import HINTS_BEFORE_USE, REFRESH_HINT
from isthmus.domain.federation.certificate import LONGEST_OWN_LIFE, OWN_LIFE, SHORTEST_OWN_LIFE


class Standing(StrEnum):
    """`next` is in the bundle and not in use, `past` is in the bundle and not in use any more."""

    NEXT = "next"
    CURRENT = "current"
    PAST = "past"


@dataclass(frozen=True, slots=True)
class Rolling:
    """What is replaced now and then. `published_at` is when it came into the bundle, `changed_at` when into its
    standing."""

    standing: Standing
    published_at: datetime
    changed_at: datetime


T = TypeVar("T", bound=Rolling)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long things last. `ahead` is for how long what comes next is published before it is used: a remote that is
    away for that long must be introduced again, and three refresh hints are the least. A past authority stays until its
    last leaf has expired, a past message key for `key_overlap`."""

    leaf_life: timedelta = OWN_LIFE
    ahead: timedelta = timedelta(days=7)
    authority_overlap: timedelta = LONGEST_OWN_LIFE
    authority_lead: timedelta = timedelta(days=180)
    key_life: timedelta = timedelta(days=365)
    key_overlap: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if not SHORTEST_OWN_LIFE <= self.leaf_life <= LONGEST_OWN_LIFE:
            raise ValueError("leaves live between 10 minutes and 7 days")
        if self.ahead < HINTS_BEFORE_USE * REFRESH_HINT:
            raise ValueError("what comes next is published for at least three refresh hints")


def current(things: Iterable[T]) -> T | None:
    return next((each for each in things if each.standing is Standing.CURRENT), None)


def following(things: Iterable[T]) -> T | None:
    return next((each for each in things if each.standing is Standing.NEXT), None)


def turned(things: Sequence[T], now: datetime, ahead: timedelta) -> tuple[T, ...]:
    """`things` at `now`: what was published for long enough takes the place of the current one."""
    successor = following(things)
    if successor is None or now < successor.published_at + ahead:
        return tuple(things)
    standings = {Standing.NEXT: Standing.CURRENT, Standing.CURRENT: Standing.PAST}
    return tuple(
        each if each.standing is Standing.PAST else replace(each, standing=standings[each.standing], changed_at=now)
        for each in things
    )


def without_spent(things: Sequence[T], now: datetime, overlap: timedelta) -> tuple[T, ...]:
    """`things` without those whose time after their use is over as well."""
    return tuple(each for each in things if each.standing is not Standing.PAST or now < each.changed_at + overlap)


def is_half_over(issued_at: datetime, ends_at: datetime, now: datetime) -> bool:
    return now >= issued_at + (ends_at - issued_at) / 2
