"""Witnesses: a log that is cut or rewritten on one side is found on both, and an honest one on none."""

from dataclasses import replace

import pytest

from isthmus.domain.federation.names import BackendDomain
from isthmus.protocol.audit import head_of, made
from isthmus.protocol.message_key import MessageKey
from isthmus.server.application.audit_witness import Heads
from isthmus.server.federation_records import RemoteFinding
from tests.application.backend import BOTH_DATABASES, TurnedClock
from tests.application.pair import Side, federated
from tests.application.test_audit_chain import run, write
from tests.tables import on_connection

A, B = BackendDomain("a.example"), BackendDomain("b.example")
Pair = tuple[Side, Side]


async def exchange(a: Side, b: Side) -> None:
    """A minute passes: both link and seal what they have, and tell each other."""
    for side in (a, b):
        side.clock.turn(TurnedClock.__dict__.get("MINUTE", MINUTE))
        await side.chore("linking")
    for side in (a, b):
        await side.beat()
    for side in (a, b):
        await side.chore("keeping the heads")


async def rewritten(side: Side) -> dict[tuple[str, str], RemoteFinding]:
    """By domain and subject."""
    found = await side.services.findings.page(100, None)
    return {(each.domain, each.subject): each for each in found if each.kind == "audit_log_rewritten"}
