"""What a host sees on its cable, as tcpdump tells it, line by line."""

from types import TracebackType
from typing import Self

from lab.host import Host
from lab.waiting import wait_until

START_SECONDS = 10.0


class Capture:
    """Runs tcpdump while the block runs. `what` is its filter, such as `udp port 53`."""

    def __init__(self, host: Host, what: str) -> None:
        command = ["tcpdump", "-l", "-n", "-t", "--immediate-mode", "-i", "eth0", what]
        self._process = host.start(command, name="tcpdump")

    def __enter__(self) -> Self:
        self._process.wait_for("listening on", within=START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    @property
    def lines(self) -> list[str]:
        """One for each packet, oldest first."""
        return [line for line in self._process.output.splitlines() if line.startswith(("IP ", "IP6 "))]

    def wait_for(self, *texts: str, within: float = 5.0) -> str:
        """The first line that holds all of these texts, once it is there."""

        def found() -> str | None:
            return next((line for line in self.lines if all(text in line for text in texts)), None)

        return wait_until(found, within=within, what=f"a packet with {' and '.join(texts)}") or ""
