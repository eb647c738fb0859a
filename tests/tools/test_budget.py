"""The size budget finds what is too large and leaves alone what is not."""

from pathlib import Path

import pytest

from tools import budget

DOCSTRING = '"""A module."""\n'


def function(lines: int, arguments: str = "") -> str:
    body = "    x = 1\n" * (lines - 1)
    return f"def measured({arguments}):\n{body}"


def run(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    (folder / "module.py").write_text(text, encoding="utf-8")
    return budget.main([str(folder)]), capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (DOCSTRING + "x = 1\n" * 500, "module.py: 501 lines, at most 500"),
        (DOCSTRING + function(61), "module.py:2 measured: 61 lines, at most 60"),
        (DOCSTRING + function(2, "a, b, /, c, *, d, e, f=1"), "module.py:2 measured: 6 arguments, at most 5"),
        (DOCSTRING + "async " + function(2, "a, b, c, d, e, f"), "module.py:2 measured: 6 arguments, at most 5"),
        (DOCSTRING + "@cached(5)\n" + function(2, "a, b, c, d, e, f"), "module.py:3 measured: 6 arguments"),
        ("x = 1\n", "module.py: no docstring"),
    ],
)
def test_an_offender_is_named_and_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    status, output = run(tmp_path, text, capsys)
    assert status == 1
    assert complaint in output
    assert "1 offences" in output


@pytest.mark.parametrize(
    "text",
    [
        DOCSTRING + "x = 1\n" * 499,
        DOCSTRING + function(60),
        DOCSTRING + function(2, "a, b, /, c, *, d, e"),
        DOCSTRING + function(2, "self, a, b, c, d, e"),
        DOCSTRING + '@router.get("/x")\n' + function(2, "a, b, c, d, e, f"),
        DOCSTRING + '@command(app, "list")\n' + function(2, "a, b, c, d, e, f"),
        "",
    ],
)
def test_what_just_fits_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    status, output = run(tmp_path, text, capsys)
    assert status == 0, output
    assert "0 offences" in output


def test_a_method_nested_in_a_class_is_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    method = function(61).replace("\n", "\n    ")
    status, output = run(tmp_path, f"{DOCSTRING}class C:\n    {method}", capsys)
    assert status == 1
    assert "measured: 61 lines" in output


@pytest.mark.parametrize(
    ("lengths", "expected"), [([], 0), ([7], 7), (list(range(1, 21)), 19), (list(range(1, 101)), 95)]
)
def test_the_percentile_is_the_smallest_length_that_covers_95_percent(lengths: list[int], expected: int) -> None:
    assert budget.percentile_95(lengths) == expected
