"""A file that one host sends to another without pause, a little at a time, over one TCP connection."""

import sys
from types import TracebackType
from typing import Self

from lab import wait_until
from lab.mesh import Member

PORT = 9000
SENDER = f"""
import socket, sys, time
sock = socket.create_connection((sys.argv[1], {PORT}), timeout=120)
number = 0
while True:
    sock.sendall(b"%08d" % number + bytes(992))
    number += 1
    time.sleep(0.02)
"""
# Says how far it is; ends with a complaint where anything is missing or twice.
RECEIVER = f"""
import os, socket, sys
server = socket.create_server(("", {PORT}))
print("listening", flush=True)
stream = server.accept()[0].makefile("rb")
number = 0
while block := stream.read(1000):
    assert block == b"%08d" % number + bytes(992), number
    number += 1
    with open("/run/progress.new", "w") as file:
        file.write(str(number))
    os.replace("/run/progress.new", "/run/progress")
print("ended after", number, flush=True)
"""


class Transfer:
    """Runs while the block does; it fails if the connection breaks or a byte is lost."""

    def __init__(self, sender: Member, receiver: Member) -> None:
        self._sender, self._receiver = sender, receiver

    def __enter__(self) -> Self:
        self._in = self._receiver.host.start([sys.executable, "-c", RECEIVER], name="receive")
        self._in.wait_for("listening")
        self._out = self._sender.host.start([sys.executable, "-c", SENDER, self._receiver.ipv4], name="send")
        self.await_progress(10)
        return self

    @property
    def received(self) -> int:
        """Blocks of 1,000 bytes so far."""
        file = self._receiver.host.path("/run/progress")
        return int(file.read_text()) if file.exists() else 0

    def await_progress(self, within: float, blocks: int = 25) -> None:
        """Wait until so many more have come, half a second's worth by default."""
        goal = self.received + blocks
        wait_until(lambda: self.received >= goal, within=within, what="the transfer to go on")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            assert self._out.running, self._out.output
            self._out.kill()
            self._in.wait_for("ended after", within=30)
