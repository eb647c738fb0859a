"""The chain of the audit log: each row is linked to the one before, and seals vouch for how far it had come.

The hash of row n is SHA-256 over the hash of row n - 1, the number n and what the row says. Row 1 follows `GENESIS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

GENESIS = bytes(32)
SEALED_ROWS = 256
SEALED_AFTER = timedelta(seconds=60)
LINK = b"isthmus audit link 1"
SEAL = b"isthmus audit seal 1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def linked(previous: bytes, number: int, said: bytes) -> bytes:
    """The hash of row `number` that says `said`."""
    return sha256(framed(LINK, previous, eight(number), said)).digest()


def framed(*parts: bytes) -> bytes:
    """The parts with their lengths before them, so that none can pass for another."""
    return b"".join(len(part).to_bytes(8) + part for part in parts)


def eight(number: int) -> bytes:
    """The number in eight bytes."""
    return number.to_bytes(8, signed=True)


def micros(moment: datetime) -> bytes:
    """Microseconds since 1970."""
    return eight((moment - EPOCH) // MICROSECOND)


@dataclass(frozen=True, slots=True)
class Seal:
    """`hash` is that of row `number`; `previous` and `previous_hash` are those of the seal before. A message key signed
    all of it. Times of seals grow with their numbers."""

    number: int
    hash: bytes
    at: datetime
    key_id: str
    previous: int = 0
    previous_hash: bytes = GENESIS
    signature: bytes = b""

    def signed_bytes(self, domain: str) -> bytes:
        """What the signature of a backend with this domain is over."""
        before = eight(self.previous) + self.previous_hash
        return framed(SEAL, domain.encode(), eight(self.number), micros(self.at), self.hash, before)

    def contradicts(self, other: "Seal") -> bool:
        """Whether no log that only grows can have had both."""
        if self.number == other.number:
            return self.hash != other.hash
        earlier, later = (self, other) if self.number < other.number else (other, self)
        if later.previous == earlier.number and later.previous_hash != earlier.hash:
            return True
        # It says that there was none between the seal before it and itself.
        return later.at <= earlier.at or later.previous < earlier.number


class Wrong(StrEnum):
    """What is wrong with a row: what it says, that it is gone, that it was put in, that rows changed places, that its
    link is gone, that a seal does not fit, that the log ends too early."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    OUT_OF_ORDER = "out of order"
    UNLINKED = "unlinked"
    SEAL = "seal"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Fault:
    """`row` is the first bad one."""

    row: int
    wrong: Wrong
    detail: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a verification came to; `head` is the hash of the last row that was good. Rows after the last link are not
    linked yet: for a second that is as it should be."""

    rows: int
    seals: int
    number: int
    head: bytes
    unlinked: int = 0
    fault: Fault | None = None


IsSigned = Callable[[Seal], bool]


@dataclass(slots=True)
class Verifier:
    """Is shown all rows in order of their numbers, each with its stored hash and followed by its seal, if there is one;
    `end` says what that came to. Needs the same memory for every length.

    After the first bad row it goes on only to tell what has happened to that row.
    """

    is_signed: IsSigned
    rows: int = 0
    seals: int = 0
    number: int = 0
    head: bytes = GENESIS
    _sealed: int = 0
    _sealed_hash: bytes = GENESIS
    _unlinked: int = 0
    _fault: Fault | None = None
    _suspect: "_Suspect | None" = None

    def row(self, number: int, said: bytes, stored: bytes | None) -> None:
        """`stored` is None where the row has no link."""
        self.rows += 1
        if self._suspect is not None:
            self._suspect.compare(number, said, stored)
        if self._fault is not None:
            return
        if number != self.number + 1:
            self._fault = _out_of_step(self.number + 1, number)
            return
        computed = linked(self.head, number, said)
        if stored is None:
            self._unlinked = self._unlinked or number
        elif self._unlinked:
            self._fault = Fault(self._unlinked, Wrong.UNLINKED, "it has no link although later rows have one")
            return
        elif stored != computed:
            self._suspect = _Suspect(number, self.head, said, stored)
            self._fault = Fault(number, Wrong.CHANGED, "it does not say what it said when it was linked")
            return
        self.number, self.head = number, computed

    def seal(self, seal: Seal) -> None:
        """A seal of the last row, or of one that has not come."""
        self.seals += 1
        if self._fault is not None:
            return
        first = self._sealed + 1
        if seal.number > self.number:
            detail = f"rows up to {seal.number} were sealed at {seal.at.isoformat()}"
            self._fault = Fault(self.number + 1, Wrong.TRUNCATED, detail)
        elif seal.number < self.number or seal.hash != self.head:
            detail = f"the rows {first} to {seal.number} are not those that were sealed at {seal.at.isoformat()}"
            self._fault = Fault(first, Wrong.SEAL, f"{detail}: one of them was changed, and all links since")
        elif not self.is_signed(seal):
            self._fault = Fault(first, Wrong.SEAL, f"the seal of row {seal.number} is not signed by its key")
        elif (seal.previous, seal.previous_hash) != (self._sealed, self._sealed_hash):
            detail = f"the seal of row {seal.number} names one of row {seal.previous} before it, which is not there"
            self._fault = Fault(first, Wrong.SEAL, detail)
        else:
            self._sealed, self._sealed_hash = seal.number, seal.hash

    def end(self, last: int | None = None) -> Found:
        """`last` is the number that the backend gave to a row last, where that is known."""
        fault = self._fault
        if self._suspect is not None:
            fault = self._suspect.fault()
        elif fault is None and last is not None and last != self.number:
            fault = _ends_elsewhere(self.number, last)
        unlinked = self.number - self._unlinked + 1 if self._unlinked else 0
        return Found(self.rows, self.seals, self.number, self.head, unlinked, fault)


def _out_of_step(expected: int, number: int) -> Fault:
    if number > expected:
        return Fault(expected, Wrong.MISSING, f"after row {expected - 1} comes {number}")
    return Fault(number, Wrong.INSERTED, f"it comes after row {expected - 1}")


def _ends_elsewhere(number: int, last: int) -> Fault:
    if number < last:
        return Fault(number + 1, Wrong.TRUNCATED, f"the backend has numbered {last} rows")
    return Fault(last + 1, Wrong.INSERTED, f"the backend has numbered {last} rows only")


@dataclass(slots=True)
class _Suspect:
    """A row that does not fit its link. Where else what it says belongs, and where what it should say is now, tells
    what has happened to it."""

    number: int
    previous: bytes
    said: bytes
    stored: bytes
    belongs: int | None = None
    is_now: int | None = None
    last_link: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.last_link = self.stored

    def compare(self, number: int, said: bytes, stored: bytes | None) -> None:
        if self.is_now is None and linked(self.previous, self.number, said) == self.stored:
            self.is_now = number
        if self.belongs is None and self.last_link is not None and stored is not None:
            self.belongs = number if linked(self.last_link, number, self.said) == stored else None
        self.last_link = stored

    def fault(self) -> Fault:
        if self.is_now is not None and self.belongs is not None:
            detail = f"what it said is in row {self.is_now}, and it says what row {self.belongs} said"
            return Fault(self.number, Wrong.OUT_OF_ORDER, detail)
        if self.is_now is not None:
            return Fault(self.number, Wrong.INSERTED, f"what it said is in row {self.is_now} now")
        if self.belongs is not None:
            return Fault(self.number, Wrong.MISSING, f"it says what row {self.belongs} said, and its own is nowhere")
        return Fault(self.number, Wrong.CHANGED, "it does not say what it said when it was linked")


def outdated(seals: Iterable[Seal], most: int = 64) -> list[Seal]:
    """Which of the seals that a witness keeps of one log it can do without, where there are more than `most`: the newer
    half of them stays, of the older ones the first of each day, the latest days."""
    ordered = sorted(seals, key=lambda seal: (seal.at, seal.number))
    if len(ordered) <= most:
        return []
    newer = ordered[-(most // 2) :]
    days: dict[object, Seal] = {}
    for seal in ordered[: -(most // 2)]:
        days.setdefault(seal.at.date(), seal)
    kept = {id(seal) for seal in [*list(days.values())[-(most - most // 2) :], *newer]}
    return [seal for seal in ordered if id(seal) not in kept]
