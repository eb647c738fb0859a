"""A long-running process on a lab host, its output in a file."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.errors import CommandFailed
from lab.namespace import Namespace, child_of
from lab.waiting import wait_until

END_SECONDS = 5.0
# A whole backend lets the calls that are under way at each of its processes end before it does, and is none the worse.
STOP_SECONDS = 20.0


class Process:
    """Runs until stopped, killed or until the lab ends. Standard output and error go to `log` together."""

    def __init__(self, namespace: Namespace, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.command = list(command)
        self.log = log
        self._namespace = namespace
        self._env = dict(env)
        self._start()

    def _start(self) -> None:
        self.log.touch()
        self._log_start = self.log.stat().st_size
        with self.log.open("ab") as log:
            self._outer = subprocess.Popen(
                self._namespace.entering(self.command),
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # The process itself is the child of the one that entered the namespaces.
        wait_until(self._find_pid, within=END_SECONDS, what=f"the pid of {self.command[0]}")

    def _find_pid(self) -> bool:
        self.pid = child_of(self._outer.pid)
        return self.pid is not None or self._outer.poll() is not None

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._outer.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.returncode is None

    @property
    def output(self) -> str:
        """What it printed since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for(self, text: str, *, within: float = 10.0) -> str:
        """Wait for a line that contains `text` and return the line.

        Raises CommandFailed when the process ends first or `within` seconds have passed.
        """

        def seen_or_ended() -> bool:
            return text in self.output or not self.running

        try:
            wait_until(seen_or_ended, within=within, what=repr(text))
        except TimeoutError:
            raise self._failed(f"did not print {text!r} within {within:g} s") from None
        for line in self.output.splitlines():
            if text in line:
                return line
        raise self._failed(f"ended with status {self.returncode} before it printed {text!r}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone; what it started is not told. Nothing happens once it has ended."""
        if self.pid is not None and self.running:
            os.kill(self.pid, number)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """While the block runs the process does nothing at all; what is sent to it waits."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)
            # nsenter stops with its child, and would never tell of its end.
            os.kill(self._outer.pid, signal.SIGCONT)

    def stop(self, *, within: float = STOP_SECONDS) -> int:
        """Ask it to end and return its exit status. One that does not listen is killed, and reported."""
        self.signal(signal.SIGTERM)
        try:
            return self._outer.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._failed(f"did not end within {within:g} s of SIGTERM and was killed") from None

    def kill(self) -> None:
        """End it with SIGKILL, which it cannot notice."""
        self.signal(signal.SIGKILL)
        self._outer.wait(timeout=END_SECONDS)

    def restart(self) -> None:
        """Start the same command again, after stopping it if it still runs."""
        if self.running:
            self.stop()
        self._start()

    def close(self) -> None:
        """Reap it once the guardian has ended the lab."""
        self._outer.wait(timeout=END_SECONDS)

    def _failed(self, how: str) -> CommandFailed:
        return CommandFailed(self._namespace.name, self.command, how, self.output)
