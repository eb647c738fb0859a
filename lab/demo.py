"""The journey of a new user, step by step on a terminal: each command as it is typed, and what comes of it."""

from lab.backend import Backend
from lab.errors import CommandFailed, LabUnavailable
from lab.first_steps import create, delete, isolate, join, leave, overview, phone, renumber
from lab.further_steps import direct, failover, history, many, names, revoke, rotate, theft
from lab.journey import Journey
from lab.lab import Lab
from lab.terminal import Terminal

LOG_LINES = 20
INTERRUPTED = 130

STEPS = [
    create,
    join,
    phone,
    overview,
    names,
    isolate,
    direct,
    rotate,
    history,
    renumber,
    theft,
    revoke,
    many,
    failover,
    delete,
    leave,
]


def main() -> int:
    """Run the journey; returns 0, 1 where something was not as expected, or 130 after Ctrl-C."""
    say = Terminal()
    try:
        with Lab() as lab:
            say.step("A server starts, on an empty database")
            with Backend(lab, watch=say.command) as backend:
                return travel(Journey(say, backend))
    except KeyboardInterrupt:
        say.failure("interrupted: all hosts, tunnels and processes of the lab are gone")
        return INTERRUPTED
    except (LabUnavailable, CommandFailed) as failure:
        say.failure(str(failure))
        return 1


def travel(journey: Journey) -> int:
    """Take every step; the first that fails ends the journey with the logs that tell why."""
    for step in STEPS:
        journey.say.step(step.__doc__ or step.__name__)
        try:
            step(journey)
        except (TimeoutError, CommandFailed, AssertionError) as failure:
            journey.say.failure(f"{step.__name__}: {failure}")
            for name, text in journey.backend.logs().items():
                journey.say.log(name, text.splitlines()[-LOG_LINES:])
            return 1
    journey.say.end(f"{journey.say.facts} expectations held; {len(journey.lab.hosts)} hosts are taken away")
    return 0
