"""Echo requests over a time, and the longest time without an answer."""

import re
import signal
import time
from itertools import pairwise
from types import TracebackType
from typing import Self

from lab.host import Host


class Echoes:
    """Echo requests a hundred times a second while the block runs; afterwards `longest_gap` is the longest time, in
    seconds, in which none of them was answered."""

    def __init__(self, host: Host, address: str) -> None:
        self._host = host
        self.command = ["ping", "-n", "-D", "-i", "0.01", address]

    def __enter__(self) -> Self:
        self._process = self._host.start(self.command, name=f"echoes-{id(self)}")
        self._process.wait_for("icmp_seq")
        return self

    def go_on(self, seconds: float) -> None:
        """Let them go on for a while, for what comes late."""
        time.sleep(seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = time.time()
        self._process.signal(signal.SIGINT)
        self._process.wait_for("packets transmitted")
        times = re.findall(r"^\[([\d.]+)\] \d+ bytes from", self._process.output, re.MULTILINE)
        answered = [float(each) for each in times]
        self.longest_gap = max(after - before for before, after in pairwise([*answered, max(ended, answered[-1])]))
