"""A real `isthmus federator` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from isthmus.protocol.places import Places
from lab.waiting import wait_until

COMMAND = Path(sys.executable).with_name("isthmus")
START_SECONDS = 30.0
STOP_SECONDS = 15.0


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, with these settings of the Federator and no others."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
    return own | {f"ISTHMUS_FEDERATOR_{name.upper()}": value for name, value in settings.items()}


@dataclass
class Federator:
    """`settings` by their names in lower case; `folder` gets its log beside the data."""

    data: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = Places(self.data)
        self.log_file = self.data / "federator.log"
        self.way_in = self.places.outward
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it without waiting for anything."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", COMMAND, "federator"],
                env=environment({"data_dir": str(self.data)} | self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self._process

    def start(self) -> None:
        process = self.launch()
        wait_until(lambda: process.poll() is not None or self.is_alive(), within=START_SECONDS, what="the Federator")
        if process.poll() is not None:
            raise RuntimeError(f"the Federator did not start: {self.log}")

    def is_alive(self) -> bool:
        # httpx2 leaves its socket open where nobody listens.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.way_in))
            except OSError:
                return False
        return self.ask("/health/live")[0] == 200

    def ask(self, path: str) -> tuple[int, Any]:
        """GET on the outward socket."""
        transport = httpx2.HTTPTransport(uds=str(self.way_in))
        with httpx2.Client(transport=transport, base_url="http://federator", timeout=10) as client:
            answer = client.get(path)
            return answer.status_code, answer.json()

    def hide(self) -> None:
        """Take the outward socket away from where callers look for it; `ask` still finds it."""
        self.way_in = self.places.outward.rename(self.places.run / "elsewhere.sock")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        code = self._process.wait(STOP_SECONDS)
        self._process = None
        return code
