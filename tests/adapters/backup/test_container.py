"""The sealed file of a backup: what was written comes back, and whatever else is done to it is found and named."""

import io
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isthmus.server.adapters.backup.container import CHUNK, HEADER_BYTES, MAGIC, TAG, Cost, SealedReader, SealedWriter
from isthmus.server.adapters.backup.unusable import (
    BackupUnusable,
    CutShort,
    Damaged,
    NoBackup,
    UnknownVersion,
    WrongPassphrase,
)

CHEAP = Cost(log2_n=2)
PASSPHRASE = "correct horse battery"
HEAD = 5
STEP = HEAD + CHUNK + TAG
SAID = os.urandom(3 * CHUNK + 1000)

Change = Callable[[bytes], bytes]


def sealed(data: bytes, passphrase: str = PASSPHRASE) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, passphrase, CHEAP)
    for start in range(0, len(data), 10_007):
        writer.write(data[start : start + 10_007])
    writer.close()
    return file.getvalue()


def opened(file: bytes, passphrase: str = PASSPHRASE) -> bytes:
    reader, found = SealedReader(io.BytesIO(file), passphrase), bytearray()
    while part := reader.read(7_001):
        found += part
    return bytes(found)


FILE = sealed(SAID)


def chunk(number: int) -> slice:
    """Where chunk `number` is in FILE; the first is 0, and 3 is the last."""
    begin = HEADER_BYTES + number * STEP
    return slice(begin, min(begin + STEP, len(FILE)))


def flipped(at: int) -> Change:
    return lambda file: file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]


def without(*numbers: int) -> Change:
    return lambda file: file[:HEADER_BYTES] + b"".join(file[chunk(each)] for each in range(4) if each not in numbers)


def ordered(*numbers: int) -> Change:
    return lambda file: file[:HEADER_BYTES] + b"".join(file[chunk(each)] for each in numbers)


def of_another(number: int) -> Change:
    """A chunk of another backup under the same passphrase stands in its place."""
    other = sealed(SAID)
    return lambda file: file[: chunk(number).start] + other[chunk(number)] + file[chunk(number).stop :]


def called_last(number: int) -> Change:
    """The file ends with a chunk that was not its last, and says that it was."""
    mark = chunk(number).start + HEAD - 1
    return lambda file: file[:mark] + b"\x01" + file[mark + 1 : chunk(number).stop]


TAMPERED: dict[str, tuple[Change, type[BackupUnusable], str]] = {
    "nothing is left": (lambda _: b"", NoBackup, "no backup"),
    "another file": (lambda _: b"PK\x03\x04" + SAID, NoBackup, "no backup"),
    "the magic": (flipped(3), NoBackup, "no backup"),
    "ends in the magic": (lambda file: file[:9], CutShort, "header"),
    "ends in the header": (lambda file: file[: HEADER_BYTES - 1], CutShort, "header"),
    "another version": (lambda file: file[: len(MAGIC)] + b"\x00\x02" + file[len(MAGIC) + 2 :], UnknownVersion, "2"),
    "the cost": (flipped(len(MAGIC) + 2), Damaged, "header"),
    "the salt": (flipped(len(MAGIC) + 10), Damaged, "header"),
    "the check": (flipped(HEADER_BYTES - 10), Damaged, "header"),
    "the digest": (flipped(HEADER_BYTES - 1), Damaged, "header"),
    "the first chunk": (flipped(chunk(0).start + HEAD + 100), Damaged, "chunk 1"),
    "a tag": (flipped(chunk(1).stop - 1), Damaged, "chunk 2"),
    "the last chunk": (flipped(chunk(3).stop - 1), Damaged, "chunk 4"),
    "a length": (flipped(chunk(1).start + 3), Damaged, "chunk 2"),
    "a mark": (flipped(chunk(1).start + 4), Damaged, "chunk 2"),
    "the mark of the last": (flipped(chunk(3).start + 4), Damaged, "chunk 4"),
    "ends in a chunk": (lambda file: file[: chunk(2).start + 500], CutShort, "chunk 3"),
    "ends in a tag": (lambda file: file[:-1], CutShort, "chunk 4"),
    "ends between chunks": (without(3), CutShort, "after 3 chunks"),
    "ends behind its header": (without(0, 1, 2, 3), CutShort, "after 0 chunks"),
    "ends early and denies it": (called_last(2), Damaged, "chunk 3"),
    "one is missing": (without(1), Damaged, "chunk 2"),
    "two changed places": (ordered(0, 2, 1, 3), Damaged, "chunk 2"),
    "one came twice": (ordered(0, 1, 1, 2, 3), Damaged, "chunk 3"),
    "one is of another backup": (of_another(1), Damaged, "chunk 2"),
    "the last is of another backup": (of_another(3), Damaged, "chunk 4"),
    "something follows": (lambda file: file + b"\x00", Damaged, "follows"),
}


@pytest.mark.parametrize(("change", "reason", "word"), TAMPERED.values(), ids=TAMPERED.keys())
def test_whatever_was_done_to_the_file_is_found_and_named(
    change: Change, reason: type[BackupUnusable], word: str
) -> None:
    assert opened(FILE) == SAID  # the benign twin
    tampered = change(FILE)
    assert tampered != FILE
    with pytest.raises(BackupUnusable) as caught:
        opened(tampered)
    assert type(caught.value) is reason, caught.value.title
    assert word in caught.value.title
    assert caught.value.hint


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_what_was_written_comes_back_whatever_its_length(length: int) -> None:
    file = sealed(SAID[:length])
    assert opened(file) == SAID[:length]
    assert len(file) == HEADER_BYTES + length + max(1, -(-length // CHUNK)) * (HEAD + TAG)


@pytest.mark.parametrize("other", ["", "correct horse batter", "Correct horse battery", "correct horse battery "])
def test_another_passphrase_is_called_another_passphrase(other: str) -> None:
    with pytest.raises(WrongPassphrase):
        opened(FILE, other)


def test_a_passphrase_is_the_same_however_its_letters_were_typed() -> None:
    assert opened(sealed(SAID[:10], "gr\u00fc\u00dfe aus k\u00f6ln"), "gru\u0308\u00dfe aus ko\u0308ln") == SAID[:10]


def test_no_two_files_are_sealed_alike() -> None:
    assert sealed(SAID)[HEADER_BYTES:] != FILE[HEADER_BYTES:]


def test_nothing_of_what_is_sealed_can_be_read_in_the_file() -> None:
    line = b"PrivateKey = of somebody\n"
    assert line in line * 10_000
    assert line[:8] not in sealed(line * 10_000)


@contextmanager
def peak() -> Iterator[list[int]]:
    found: list[int] = []
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def test_a_file_of_any_size_takes_the_same_memory(tmp_path: Path) -> None:
    block = bytes(1_000_000)
    with peak() as found:
        with (tmp_path / "backup").open("wb") as file:
            writer = SealedWriter(file, PASSPHRASE, CHEAP)
            for _ in range(40):
                writer.write(block)
            writer.close()
        with (tmp_path / "backup").open("rb") as file:
            reader, length = SealedReader(file, PASSPHRASE), 0
            while part := reader.read(100_000):
                length += len(part)
    assert length == 40_000_000
    assert found[0] < 8_000_000
