"""The audit chain: whatever is done to a row, the first bad one is named; an untouched log verifies."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.audit import GENESIS, Fault, Found, Seal, Verifier, Wrong, linked, outdated
from isthmus.protocol.audit_row import content
from tests.builders import NOON


@dataclass(frozen=True)
class Said:
    at: datetime = NOON
    actor: str = "user:ada"
    action: str = "network.create"
    subject: str = "office"
    outcome: str = "done"
    request_id: str = "r"
    reason: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Log:
    """Rows, links and seals as they are stored; a seal follows every tenth row."""

    rows: dict[int, bytes]
    links: dict[int, bytes]
    seals: dict[int, Seal]
    last: int

    def verified(self, *, last: bool = True) -> Found:
        verifier = Verifier(lambda seal: seal.signature == b"signed")
        for number in sorted(self.rows):
            verifier.row(number, self.rows[number], self.links.get(number))
            if number in self.seals:
                verifier.seal(self.seals[number])
        for number in sorted(self.seals):
            if number > max(self.rows, default=0):
                verifier.seal(self.seals[number])
        return verifier.end(self.last if last else None)

    def link_anew(self, first: int) -> None:
        head = self.links.get(first - 1, GENESIS)
        for number in range(first, self.last + 1):
            head = self.links[number] = linked(head, number, self.rows[number])

    def seal_anew(self) -> None:
        for n in range(10, self.last + 1, 10):
            self.seals[n] = Seal(n, self.links[n], NOON, "key", n - 10, self.links.get(n - 10, GENESIS), b"signed")


def a_log(length: int = 40) -> Log:
    rows = {number: content(Said(subject=f"row {number}")) for number in range(1, length + 1)}
    log = Log(rows, {}, {}, length)
    log.link_anew(1)
    log.seal_anew()
    return log


def fault(log: Log) -> tuple[int, Wrong]:
    found = log.verified().fault
    assert found is not None
    return found.row, found.wrong


def test_an_untouched_log_verifies() -> None:
    log = a_log()
    assert log.verified() == Found(40, 4, 40, log.links[40])
    assert a_log(0).verified() == Found(0, 0, 0, GENESIS)


@given(st.integers(1, 40), st.sampled_from(["at", "actor", "action", "subject", "outcome", "request_id", "reason"]))
def test_a_changed_row_is_named(row: int, name: str) -> None:
    changes: dict[str, Any] = {"at": NOON + timedelta(microseconds=1), "reason": ""}
    log = a_log()
    log.rows[row] = content(replace(Said(subject=f"row {row}"), **{name: changes.get(name, "x")}))
    assert fault(log) == (row, Wrong.CHANGED)


@given(st.integers(1, 39))
def test_a_deleted_row_is_named_with_or_without_its_link(row: int) -> None:
    log = a_log()
    del log.rows[row]
    assert fault(log) == (row, Wrong.MISSING)
    del log.links[row]
    log.seals.pop(row, None)
    assert fault(log) == (row, Wrong.MISSING)


@given(st.integers(1, 38))
def test_a_deleted_row_is_named_where_the_later_ones_moved_up(row: int) -> None:
    log = a_log()
    log.rows = {n: log.rows[n if n < row else n + 1] for n in range(1, 40)}
    assert fault(log) == (row, Wrong.MISSING)


@given(st.integers(1, 40), st.integers(1, 40))
def test_of_two_rows_that_changed_places_the_first_is_named(one: int, other: int) -> None:
    log = a_log()
    log.rows[one], log.rows[other] = log.rows[other], log.rows[one]
    if one == other:
        assert log.verified().fault is None
    else:
        assert fault(log) == (min(one, other), Wrong.OUT_OF_ORDER)


@given(st.integers(1, 39))
def test_an_inserted_row_is_named_where_the_later_ones_moved_down(row: int) -> None:
    log = a_log()
    moved = {n + 1: said for n, said in log.rows.items() if n >= row}
    log.rows = {n: said for n, said in log.rows.items() if n < row} | {row: content(Said(subject="new"))} | moved
    assert fault(log) == (row, Wrong.INSERTED)


@pytest.mark.parametrize("number", [-1, 0])
def test_a_row_before_the_first_is_named(number: int) -> None:
    log = a_log()
    log.rows[number] = content(Said())
    assert fault(log) == (number, Wrong.INSERTED)


def test_a_row_behind_the_last_number_is_named() -> None:
    log = a_log()
    log.rows[41] = content(Said())
    assert fault(log) == (41, Wrong.INSERTED)


def test_links_that_were_made_anew_break_the_next_seal() -> None:
    log = a_log()
    log.rows[15] = content(Said(subject="forged"))
    log.link_anew(15)
    assert fault(log) == (11, Wrong.SEAL)
    log.seal_anew()
    assert log.verified().fault is None  # who has the key can seal anew: then only witnesses know
    log.seals[20] = replace(log.seals[20], signature=b"forged")
    assert fault(log) == (11, Wrong.SEAL)


@pytest.mark.parametrize("seal", [10, 20, 30])
def test_a_seal_that_is_gone_is_named_by_the_next(seal: int) -> None:
    log = a_log()
    del log.seals[seal]
    assert fault(log) == (seal - 9, Wrong.SEAL)


def test_a_tail_that_was_cut_is_noticed_from_the_numbers_and_from_seals() -> None:
    log = a_log()
    log.rows = {n: said for n, said in log.rows.items() if n <= 33}
    assert fault(log) == (34, Wrong.TRUNCATED)
    log.last = 33
    assert fault(log) == (34, Wrong.TRUNCATED)
    del log.seals[40]
    log.links = {n: link for n, link in log.links.items() if n <= 33}
    assert log.verified().fault is None  # who cuts everything leaves a shorter log, which witnesses contradict


def test_rows_of_the_last_second_need_no_link_and_earlier_ones_do() -> None:
    log = a_log(39)
    del log.links[39], log.links[38]
    assert log.verified() == Found(39, 3, 39, linked(linked(log.links[37], 38, log.rows[38]), 39, log.rows[39]), 2)
    log = a_log()
    del log.links[7]
    assert fault(log) == (7, Wrong.UNLINKED)


@given(st.lists(st.text(max_size=3), min_size=2, max_size=2), st.lists(st.text(max_size=3), min_size=2, max_size=2))
def test_no_two_rows_have_one_content(one: list[str], other: list[str]) -> None:
    rows = [content(Said(actor=actor, action=action)) for actor, action in (one, other)]
    assert (rows[0] == rows[1]) is (one == other)


def test_content_does_not_depend_on_the_order_of_facts() -> None:
    assert content(Said(facts={"a": 1, "b": [1.5, "ü"]})) == content(Said(facts={"b": [1.5, "ü"], "a": 1}))
    assert content(Said(facts={"a": 1})) != content(Said(facts={"a": "1"}))
    assert content(Said(reason=None)) != content(Said(reason=""))


def a_seal(number: int, minutes: int, hash_: bytes = b"h", previous: int | None = None) -> Seal:
    before = number - 1 if previous is None else previous
    return Seal(number, hash_, NOON + timedelta(minutes=minutes), "key", before, b"h")


@pytest.mark.parametrize(
    ("one", "other", "contradict"),
    [
        (a_seal(5, 0), a_seal(5, 0), False),
        (a_seal(5, 0), a_seal(9, 1), False),
        (a_seal(5, 0), a_seal(5, 1, b"x"), True),
        (a_seal(9, 0), a_seal(5, 1), True),
        (a_seal(5, 0), a_seal(9, 0), True),
        (a_seal(5, 0), a_seal(9, 1, previous=5), False),
        (a_seal(5, 0, b"x"), a_seal(9, 1, previous=5), True),
        (a_seal(5, 0), a_seal(9, 1, previous=4), True),
    ],
)
def test_seals_contradict_each_other_where_no_growing_log_has_both(one: Seal, other: Seal, contradict: bool) -> None:
    assert one.contradicts(other) is other.contradicts(one) is contradict


def test_a_witness_keeps_the_newest_and_one_of_each_earlier_day() -> None:
    seals = [a_seal(number, 60 * number) for number in range(1, 24 * 100)]
    kept: list[Seal] = []
    for seal in seals:
        kept.append(seal)
        gone = outdated(kept)
        kept = [each for each in kept if each not in gone]
        assert len(kept) <= 64
    assert kept[-32:] == seals[-32:]
    assert len({each.at.date() for each in kept}) >= 30


def test_a_fault_says_what_is_wrong_in_words() -> None:
    log = a_log()
    log.rows[3], log.rows[30] = log.rows[30], log.rows[3]
    assert log.verified().fault == Fault(
        3, Wrong.OUT_OF_ORDER, "what it said is in row 30, and it says what row 30 said"
    )
