"""Who is turned away where too many keep us waiting."""

import asyncio

import pytest

from isthmus.server.adapters.http import crowd
from isthmus.server.adapters.http.crowd import Crowd, source_of

GRACE = 0.1
ONE, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "GRACE_SECONDS", GRACE)


class Someone:
    def __init__(self, of: Crowd, source: str) -> None:
        self._of, self._source = of, source
        self.is_away = False
        of.join(source, self)

    def turn_away(self) -> None:
        self.is_away = True
        self._of.leave(self._source, self)


def away(people: list[Someone]) -> list[bool]:
    return [each.is_away for each in people]


async def test_of_one_source_those_who_have_waited_the_longest_go_once_their_grace_is_over() -> None:
    room = Crowd(2, files=1_000)
    others = [Someone(room, OTHER) for _ in range(2)]
    people = [Someone(room, ONE) for _ in range(4)]
    assert not any(away(people))
    await asyncio.sleep(2 * GRACE)
    assert away(people) == [True, True, False, False]
    assert not any(away(others))


async def test_who_has_been_served_meanwhile_makes_room() -> None:
    room = Crowd(2, files=1_000)
    people = [Someone(room, ONE) for _ in range(4)]
    for each in people[:2]:
        room.leave(ONE, each)
    await asyncio.sleep(2 * GRACE)
    assert not any(away(people))


async def test_of_all_sources_four_times_as_many_may_wait() -> None:
    room = Crowd(2, files=1_000)
    people = [Someone(room, f"192.0.2.{each}") for each in range(10)]
    await asyncio.sleep(2 * GRACE)
    assert away(people) == [True, True] + 8 * [False]


async def test_where_files_run_out_nobody_has_any_grace() -> None:
    room = Crowd(100, files=3)
    people = [Someone(room, ONE) for _ in range(5)]
    assert away(people) == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_source_is_an_address_or_the_prefix_that_one_host_has(one: str, other: str, are_one: bool) -> None:
    assert (source_of(one) == source_of(other)) is are_one
