"""Durations, ages, tables and hostile text."""

from datetime import UTC, datetime

import pytest

from isthmus.cli.text import Column, age, cell, duration, fields, minute, parse_duration, printable, size, table

NOW = datetime(2026, 11, 23, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("45s", 45), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600), (" 5m ", 300)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "90s"), (1800, "30m"), (129_600, "36h"), (2_592_000, "30d")]
)
def test_a_duration_is_written_as_it_may_be_given(seconds: int, text: str) -> None:
    assert duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1.5h", "-3h", "3 h", "3y", "\u0661h", "1h30m", "9999999999"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="for example 12h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (None, "never"),
        ("2026-11-23T20:10:00Z", "0s ago"),
        ("2026-11-23T20:10:30Z", "0s ago"),
        ("2026-11-23T20:09:01+00:00", "59s ago"),
        ("2026-11-23T22:09:00+02:00", "1m ago"),
        ("2026-11-23T18:10:01Z", "1h ago"),
        ("2026-11-20T20:10:00Z", "3d ago"),
    ],
)
def test_ages_are_shown_in_their_largest_unit(moment: str | None, shown: str) -> None:
    assert age(moment, NOW) == shown


def test_times_are_shown_in_utc_and_bytes_in_binary_units() -> None:
    assert minute("2026-11-23T20:10:59Z") == "2026-11-23 20:10 UTC"
    assert [size(count) for count in (0, 1023, 1024, 5 * 1024**3, 3 * 1024**5)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3072.0 TiB",
    ]


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nb", "a\rb", "\x9b31m", "\u202eevil", "\x00", "\t"])
def test_text_from_elsewhere_cannot_steer_the_terminal(hostile: str) -> None:
    for shown in (
        printable(hostile),
        cell(hostile),
        cell([hostile]),
        cell({hostile: hostile}),
        fields([("x", hostile)]),
    ):
        assert shown.isprintable()


def test_cells_say_what_is_absent_and_what_is_set() -> None:
    shown = [cell(value) for value in (None, "", [], {}, True, False, 0, ["a", "b"], {"k": "v"})]
    assert shown == ["-", "-", "-", "-", "yes", "no", "0", "a, b", "k=v"]


def test_a_table_is_aligned_and_has_no_blanks_at_the_ends_of_lines() -> None:
    text = table([Column("NAME"), Column("N")], [("a", 1), ("longer", None)])
    assert text == "NAME    N\na       1\nlonger  -"


def test_a_narrow_terminal_shortens_only_what_nobody_copies() -> None:
    columns = [Column("NAME"), Column("NOTE", may_shrink=True)]
    name, note = "n" * 30, "o" * 60
    assert table(columns, [(name, note)], width=60).splitlines()[1] == f"{name}  {'o' * 27}…"
    assert table(columns, [(name, note)], width=20).splitlines()[1].startswith(f"{name}  ooooooooooo…")
    assert table(columns, [(name, note)]).splitlines()[1] == f"{name}  {note}"
