"""What can go wrong in a lab: it cannot be built here, or a command on a host failed."""

from collections.abc import Sequence


class LabUnavailable(Exception):
    """This machine or user cannot have a lab; the message says what to change."""


class CommandFailed(Exception):
    """A command on a lab host ended with an error or ran out of time."""

    def __init__(self, where: str, command: Sequence[str], how: str, output: str) -> None:
        self.output = output
        super().__init__(f"on {where}, {' '.join(command)!r} {how}:\n{output.strip() or '(no output)'}")
