"""What the demo prints: titles, commands with the beginning of their output, and facts that were observed."""

import shlex
import sys
import time
from collections.abc import Sequence

from lab.host import Host

SHOWN_LINES = 20
BOLD, DIM, GREEN, RED, CYAN = "1", "2", "32", "31", "36"


class Terminal:
    """Standard output, in colour where a person looks at it."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._colours = sys.stdout.isatty()
        self._steps = 0
        self.facts = 0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def step(self, title: str) -> None:
        self._steps += 1
        self._print(f"\n{self._in(BOLD, f'{self._steps}. {title}')}  {self._in(DIM, f'[{self.seconds:.0f} s]')}")

    def command(self, host: Host, command: Sequence[str], output: str) -> None:
        """A command as it was typed on a host; of its output as much as tells what it did."""
        self._print(f"  {self._in(CYAN, f'{host.name} #')} {shlex.join(command)}")
        lines = output.strip("\n").splitlines()
        hidden = len(lines) - SHOWN_LINES
        for line in lines[:SHOWN_LINES]:
            self._print(f"      {self._in(DIM, line)}")
        if hidden > 0:
            self._print(f"      {self._in(DIM, f'… and {hidden} more')}")

    def note(self, text: str) -> None:
        self._print(f"  {text}")

    def fact(self, text: str) -> None:
        """Something that was seen to be so."""
        self.facts += 1
        self._print(f"  {self._in(GREEN, '✓')} {text}")

    def end(self, text: str) -> None:
        self._print(f"\n{self._in(BOLD, f'Done in {self.seconds:.0f} s:')} {text}")

    def failure(self, text: str) -> None:
        self._print(f"\n{self._in(RED, '✗')} {text}")

    def log(self, name: str, lines: Sequence[str]) -> None:
        """The end of a process's log."""
        self._print(f"\n{self._in(BOLD, f'the last lines of the log of {name}')}")
        for line in lines:
            self._print(f"    {line}")

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours and text else text

    def _print(self, text: str) -> None:
        print(text, flush=True)
