"""What one backend must tell another arrives once and in order, also when its sender dies between effect and answer."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from isthmus.protocol.federation import CONTENT_DIGEST, IDEMPOTENCY_KEY, SIGNATURE, SIGNATURE_INPUT
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.signatures import Message, sign
from lab.organisation import DATA
from lab.recording import Recorder
from lab.waiting import listens, wait_until
from tests.federation.checks import clean_request, no_state_change, one_audit_row, refused
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.wire import Answer

NOTICE = "POST /federation/handshake/notice"
WITHIN = 30.0


@contextmanager
def held_back(box: Recorder, mark: bytes) -> Iterator[threading.Event]:
    """While the block runs no answer with `mark` in it passes; the event says that one came."""
    came, over = threading.Event(), threading.Event()

    def holding(piece: bytes) -> bytes:
        if mark in piece:
            came.set()
            over.wait(WITHIN)
        return piece

    box.rewrites = holding
    try:
        yield came
    finally:
        box.rewrites = None
        over.set()


def kill_server(party: Party) -> None:
    """With SIGKILL, which it cannot notice; the supervisor starts another one."""
    boxes = [box for name, box in party.recorders.items() if name.startswith("component-")]
    for box in boxes:
        box.remove()
    before = party.site.pid("server")
    party.site.kill("server", signal.SIGKILL)
    wait_until(lambda: party.site.pid("server") not in (None, before), within=WITHIN, what="another server")
    own = party.site.host.path(f"{DATA}/server.sock")
    wait_until(lambda: listens(own), within=WITHIN, what="the socket of the other server")
    party.site.await_server()
    for box in boxes:
        box.place()


def told(party: Party, number: int) -> tuple[bytes, dict[str, str | None]]:
    """A notice with this number, as the Federator of `party` would send it."""
    body = json.dumps({"what": "suspended", "lane": "state", "number": number, "bundle": ""}).encode()
    key = MessageKey.from_pem(party.site.places.message_key.read_bytes())
    idempotency = str(uuid4())
    message = Message("POST", NOTICE.partition(" ")[2], party.domain, "0", idempotency, body)
    signed = sign(message, key, now=datetime.now(UTC), nonce=uuid4().hex)
    more: dict[str, str | None] = {IDEMPOTENCY_KEY: idempotency}
    return body, more | {name: signed[name] for name in (CONTENT_DIGEST, SIGNATURE_INPUT, SIGNATURE)}


def notifies(party: Party, other: Party, number: int) -> Answer:
    body, headers = told(party, number)
    return party.asks(other, party.request(other, NOTICE, body=body, changed=headers))


def remote(party: Party, other: Party) -> dict[str, Any]:
    found: dict[str, Any] = party.api.get(f"/remotes/{other.domain}").raise_for_status().json()
    return found


def received(party: Party, other: Party) -> int:
    return next((lane["received"] for lane in remote(party, other)["lanes"] if lane["lane"] == "state"), 0)


@pytest.mark.case("FAULT-002")
def test_a_change_is_delivered_once_though_its_sender_dies_before_it_hears_so(federation: Federation) -> None:
    a, b = federation.a, federation.b
    before, rows, number = b.component("handshake").count(), b.last_row(), received(b, a)
    try:
        with held_back(a.outward, b'"acknowledged"') as came:
            a.api.post(f"/remotes/{b.domain}/suspend").raise_for_status()
            assert came.wait(WITHIN)
            assert remote(b, a)["state_there"] == "suspended"
            kill_server(a)
        wait_until(lambda: remote(a, b)["waiting"] == [], within=WITHIN, what="the acknowledgement")
        notices = [each for each in b.component("handshake").since(before) if each.path.endswith("/notice")]
        assert [json.loads(each.body)["number"] for each in notices] == [number + 1] * 2
        assert received(b, a) == number + 1
        assert [row["action"] for row in b.audit(rows)].count("remote.suspended-there") == 1

        with no_state_change(b), one_audit_row(b, "sequence_gap"):
            skipped = refused(notifies(a, b, number + 3), 409, "sequence_gap")
        assert skipped.json["expected"] == number + 2
    finally:
        a.api.post(f"/remotes/{b.domain}/resume")
    # The twin: the change with the next number.
    wait_until(lambda: remote(b, a)["state_there"] == "active", within=WITHIN, what="the next change")
    assert received(b, a) == number + 2
    clean_request(a, b)
    clean_request(b, a)
