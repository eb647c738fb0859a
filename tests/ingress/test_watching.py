"""What the runner looks at, and how little it says when strangers are loud."""

from isthmus.ingress.watching import Lines, Pause


def test_lines_that_strangers_cause_are_bounded_and_counted() -> None:
    said: list[str] = []
    lines = Lines(said.append, a_second=0.0, burst=3.0)
    for number in range(10):
        lines.say(f"line {number}")
    assert said == ["line 0", "line 1", "line 2"]
    lines.a_second = 1e9
    lines.say("later")
    assert said[-2:] == ["7 lines were left out", "later"]


def test_a_pause_grows_with_failures_in_a_row() -> None:
    pause = Pause(shortest=0.25, longest=2.0)
    assert [pause.after_failure() for _ in range(5)] == [0.25, 0.5, 1.0, 2.0, 2.0]
