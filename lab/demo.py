"""The journey of a new user, step by step on a terminal: each command as it is typed, and what comes of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lab import bridge_steps
from lab.backend import Backend
from lab.errors import CommandFailed, LabUnavailable
from lab.federation_steps import STEPS as FEDERATION_STEPS
from lab.federation_steps import assemble
from lab.first_steps import create, delete, isolate, join, leave, overview, phone, renumber
from lab.further_steps import direct, failover, history, many, names, revoke, rotate, theft
from lab.journey import Journey
from lab.lab import Lab
from lab.probes import Probes
from lab.terminal import Terminal

LOG_LINES = 20


class Told(Protocol):
    """What a part of the demo is made of."""

    say: Terminal

    @property
    def lab(self) -> Lab: ...

    def logs(self) -> dict[str, str]: ...


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


def main(parts: Sequence[str] = ("mesh", "federation", "bridge")) -> int:
    """Run all parts or some; returns 0, 1 where something was not as expected, or 130 after Ctrl-C."""
    say = Terminal()
    try:
        for name in parts:
            if failed := PARTS[name](say):
                return failed
        return 0
    except KeyboardInterrupt:
        say.failure("interrupted: all hosts, tunnels and processes of the lab are gone")
        return INTERRUPTED
    except (LabUnavailable, CommandFailed) as failure:
        say.failure(str(failure))
        return 1


def mesh(say: Terminal) -> int:
    """One organisation: its networks, peers and hosts."""
    with Lab() as lab:
        say.step("A server starts, on an empty database")
        with Backend(lab, watch=say.command) as backend:
            return travel(Journey(say, backend), STEPS)


def federation(say: Terminal) -> int:
    """Three organisations that find each other."""
    with Lab() as lab:
        say.step("Three organisations start, each with a host, a server and a zone of its own")
        diplomacy = assemble(say, lab)
        try:
            return travel(diplomacy, FEDERATION_STEPS)
        finally:
            diplomacy.close()


def bridge(say: Terminal) -> int:
    """Two organisations, and what passes between their networks."""
    with Lab() as lab, Probes() as probes:
        say.step("Two organisations start, on empty databases")
        alliance = bridge_steps.assemble(say, lab, probes)
        try:
            return travel(alliance, bridge_steps.STEPS)
        finally:
            alliance.close()


PARTS: Mapping[str, Callable[[Terminal], int]] = {"mesh": mesh, "federation": federation, "bridge": bridge}


def travel(journey: Told, steps: Sequence[Callable[[Any], None]]) -> int:
    """Take every step; the first that fails ends the journey with the logs that tell why."""
    for step in steps:
        journey.say.step(step.__doc__ or step.__name__)
        try:
            step(journey)
        except (TimeoutError, CommandFailed, AssertionError) as failure:
            journey.say.failure(f"{step.__name__}: {failure}")
            for name, text in journey.logs().items():
                journey.say.log(name, text.splitlines()[-LOG_LINES:])
            return 1
    journey.say.end(f"{journey.say.facts} expectations held; {len(journey.lab.hosts)} hosts are taken away")
    return 0
