"""What is remembered of leaves, and for how long."""

from dataclasses import replace
from datetime import timedelta

from isthmus.domain.federation.names import InfraDomain
from isthmus.domain.federation.rollover import Schedule
from isthmus.server.application.own_trust import MOST_LEAVES, REMEMBERED, OwnState, aged
from isthmus.server.certificate_records import OwnLeaf, Purpose
from tests.builders import NOON

DAY = timedelta(days=1)


def a_leaf(serial: int) -> OwnLeaf:
    infra = (InfraDomain("infra.a.example"),)
    return OwnLeaf(serial, b"f", b"a", Purpose.INGRESS, "spiffe://a.example/…", infra, NOON, NOON + DAY)


def serials_at(later: timedelta, *leaves: OwnLeaf) -> list[int]:
    return [each.serial for each in aged(OwnState(leaves=leaves), NOON + later, Schedule()).leaves]


def test_an_expired_leaf_is_listed_for_a_day_and_then_forgotten() -> None:
    assert serials_at(DAY + REMEMBERED - timedelta(seconds=1), a_leaf(1)) == [1]
    assert serials_at(DAY + REMEMBERED, a_leaf(1)) == []


def test_of_very_many_leaves_the_oldest_are_forgotten_but_for_those_that_are_revoked() -> None:
    many = [a_leaf(serial) for serial in range(MOST_LEAVES + 10)]
    revoked = [replace(many[0], revoked_at=NOON), *many[1:]]
    assert serials_at(timedelta(), *many) == list(range(10, MOST_LEAVES + 10))
    assert serials_at(timedelta(), *revoked) == [0, *range(11, MOST_LEAVES + 10)]
